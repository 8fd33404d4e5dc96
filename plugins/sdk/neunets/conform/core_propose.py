"""First operation: how many, how often, how long."""

from __future__ import annotations

from time import monotonic
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from neunets.conform.bench import Bench
from neunets.conform.check import Check, Level, Violation
from neunets.conform.drive import LARGEST_WANT, Run
from neunets.conform.exchange import Answer
from neunets.errors import CallInFlight, DeadlineExceeded, RequestReused, SequenceGap
from neunets.status import STATUS
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["CHECKS", "gap"]

WANTS: Final = (1, 7, 64)
SHORT_S, SOON_S, HEALTH_S = 0.05, 1.0, 2.0
AT_ONCE: Final = 4


def _want(bench: Bench) -> None:
    for want in WANTS:
        _is_at_most(want, bench.opened())


def _beyond_batch(bench: Bench) -> None:
    _is_at_most(min(LARGEST_WANT, bench.description.max_batch + 1), bench.opened())


def _is_at_most(want: int, run: Run) -> None:
    found = run.candidates(want)
    if not found:
        raise Violation(f"a run that has just begun is exhausted, {want} candidates were wanted")
    if len(found) > want:
        raise Violation(f"{len(found)} candidates, {want} were wanted")
    run.close()


def _repeat(bench: Bench) -> None:
    run = bench.opened()
    request_id = run.request_id()
    first, second = run.candidates(3, request_id), run.candidates(3, request_id)
    if first != second:
        raise Violation("the same request_id was answered with other candidates, though the log has not grown")


def _reused(bench: Bench) -> None:
    """An engine that was restarted asks with its stored request_id and another want: no other answer is a fault."""
    run = bench.opened()
    request_id = run.request_id()
    run.candidates(3, request_id)
    answer = run.try_propose(1, request_id)
    if answer.response is None and answer.status.code is not STATUS[RequestReused][0]:
        answer.refused(RequestReused, "with a request_id that came before with another want")


def _log_seq(bench: Bench) -> None:
    run = bench.opened()
    run.begun()
    for log_seq in (0, run.applied + 1):
        gap(run.try_propose(log_seq=log_seq), run.applied, f"at log_seq {log_seq}, with {run.applied} events ingested,")


def gap(answer: Answer[pb.ProposeResponse] | Answer[pb.IngestResponse] | Answer[pb.AssessResponse],
        applied: int, when: str) -> None:  # fmt: skip
    """SEQ_GAP, whose metadata say what was applied. Raises: Violation."""
    status = answer.refused(SequenceGap, when)
    if status.metadata.get("applied_seq") != str(applied):
        raise Violation(
            f"SEQ_GAP of {answer.method} has the metadata {dict(status.metadata)}, not applied_seq={applied}"
        )


def _deadline(bench: Bench) -> None:
    run = bench.opened()
    request_id = run.request_id()
    begun = monotonic()
    answer = bench.exchange.propose(run.asking(7, request_id), SHORT_S)
    _is_back(answer.status.code, monotonic() - begun)
    _is_healthy(bench)
    run.candidates(7, request_id)


def _cancel(bench: Bench) -> None:
    run = bench.opened()
    request_id = run.request_id()
    pending = run.start_propose(7, request_id)
    if not pending.is_answered_within(SHORT_S):
        pending.cancel()
    begun = monotonic()
    answer = pending.answer()
    _is_back(answer.status.code, monotonic() - begun)
    _is_healthy(bench)
    run.candidates(7, request_id)


def _is_back(code: grpc.StatusCode, seconds: float) -> None:
    expected = (grpc.StatusCode.OK, STATUS[DeadlineExceeded][0], grpc.StatusCode.CANCELLED)
    if code not in expected:
        raise Violation(f"a call that was given up after {SHORT_S:g} s ended with {code.name}")
    if seconds > SOON_S:
        raise Violation(f"a call that was given up came back after {seconds:.1f} s, {SOON_S:g} s at most are allowed")


def _is_healthy(bench: Bench) -> None:
    """While the run may still compute."""
    stub = health_pb2_grpc.HealthStub(bench.plugin.channel())
    try:
        stub.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_S)
    except grpc.RpcError as error:
        raise Violation(f"no health within {HEALTH_S:g} s after a call that was given up") from error


def _in_flight(bench: Bench) -> None:
    run = bench.opened()
    pending = [run.start_propose(2) for _ in range(AT_ONCE)]
    for answer in [each.answer() for each in pending]:
        if answer.response is None:
            answer.refused(CallInFlight, "while another call of the run is in flight")
    run.candidates(2)


CHECKS: Final = (
    Check(
        "core/propose-want",
        "Propose of 1, 7 or 64 answers that many candidates or fewer, at least one at the beginning of a run.",
        Level.CORE,
        _want,
    ),
    Check(
        "core/propose-beyond-batch",
        "More wanted than max_batch is no error, and fewer candidates come.",
        Level.CORE,
        _beyond_batch,
    ),
    Check(
        "core/propose-repeat",
        "Propose with the same request_id answers the same candidates while the log has not grown.",
        Level.CORE,
        _repeat,
    ),
    Check(
        "core/request-reused",
        "A request_id that comes again with another want is answered, or ALREADY_EXISTS / REQUEST_ID_REUSED.",
        Level.CORE,
        _reused,
    ),
    Check(
        "core/propose-log-seq",
        "Propose whose log_seq is not what was applied is OUT_OF_RANGE / SEQ_GAP with applied_seq.",
        Level.CORE,
        _log_seq,
    ),
    Check(
        "core/deadline",
        "A Propose whose deadline of 50 ms passes is back within 1 s, and the plugin goes on.",
        Level.CORE,
        _deadline,
    ),
    Check(
        "core/cancel",
        "A Propose that is cancelled after 50 ms is back within 1 s, and the plugin goes on.",
        Level.CORE,
        _cancel,
    ),
    Check(
        "core/in-flight",
        "A second call of a run while one is in flight is served, or ABORTED / IN_FLIGHT.",
        Level.CORE,
        _in_flight,
    ),
)
