"""Second operation: events that repeat, lack, surprise."""

from __future__ import annotations

import math
from typing import Final

from neunets.conform.bench import Bench
from neunets.conform.check import Check, Level, Violation
from neunets.conform.core_propose import gap
from neunets.conform.drive import INGEST_S, MOST_EVENTS, Run
from neunets.conform.events import State
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["CHECKS"]

TIMES: Final = 10
NOT_A_NUMBER: Final = {"valid_accuracy": math.nan, "valid_loss": math.inf, "epochs": 1.0}
MANY: Final = 6
# Wire format: field 1000, of bytes: "x"; and field 900, an empty message.
UNKNOWN_FIELD: Final = b"\xc2\x3e\x01x"
UNKNOWN_EVENT: Final = b"\xa2\x38\x00"
UNKNOWN_ENUM: Final = 99
MIB: Final = 1 << 20


def _repeat(bench: Bench) -> None:
    """Two runs of one seed: what was said ten times to the one was said once to the other."""
    once, often = _begun_twice(bench)
    for run in (once, often):
        run.log.measured(next(iter(run.log.running)), 1.0)
        run.log.ended(next(iter(run.log.running)))
        request = run.sending(run.log.events[run.applied :])
        run.ingest()
        for _ in range(TIMES if run is often else 0):
            answer = bench.exchange.ingest(request, INGEST_S).value()
            if answer.applied_seq != len(run.log.events):
                raise Violation(f"a repeated Ingest acknowledged {answer.applied_seq}, not {len(run.log.events)}")
    if bench.is_deterministic and once.candidates(3) != often.candidates(3):
        raise Violation("events that came ten times have changed what is proposed")


def _begun_twice(bench: Bench) -> tuple[Run, Run]:
    seed = bench.seed()
    runs = bench.opened(seed=seed), bench.opened(seed=seed)
    for run in runs:
        run.begun()
    return runs


def _overlap(bench: Bench) -> None:
    run = bench.opened()
    trials = run.begun()
    run.log.measured(trials[0], 1.0)
    run.send(run.log.events[1:])


def _gap(bench: Bench) -> None:
    run = bench.opened()
    trials = run.begun()
    for epoch in (1.0, 2.0):
        run.log.measured(trials[0], epoch)
    gap(run.try_ingest(run.log.events[run.applied + 1 :]), run.applied, "of events with a hole before them")
    run.ingest()


def _ends(bench: Bench) -> None:
    run = bench.opened()
    for state in State.values():
        if state != State.STATE_UNSPECIFIED:
            run.log.ended(run.begun(1)[0], state)
            _goes_on(run)


def _not_a_number(bench: Bench) -> None:
    run = bench.opened()
    for state in (State.STATE_SUCCEEDED, State.STATE_INFEASIBLE):
        run.log.ended(run.begun(1)[0], state, NOT_A_NUMBER)
        _goes_on(run)


def _retried(bench: Bench) -> None:
    run = bench.opened()
    (trial,) = run.begun(1)
    candidate = run.log.running[trial]
    run.log.measured(trial, 1.0)
    run.log.ended(trial, State.STATE_LOST, will_retry=True)
    _answers(run)
    run.log.restarted(trial, candidate)
    run.log.ended(trial)
    _goes_on(run)


def _all_failed(bench: Bench) -> None:
    run = bench.opened()
    for _ in range(MANY):
        for trial in run.begun():
            run.log.ended(trial, State.STATE_FAILED)
        _goes_on(run)


def _rejected(bench: Bench) -> None:
    run = bench.opened()
    request_id = run.request_id()
    why = pb.Diagnostic(severity=pb.Diagnostic.SEVERITY_ERROR, code="DUPLICATE", path="graph", summary="as another")
    for name in run.log.proposed(request_id, run.candidates(3, request_id)):
        run.log.rejected(name, why)
    _goes_on(run)


def _injected(bench: Bench) -> None:
    run, other = bench.opened(), bench.opened()
    run.log.injected(other.candidates(1)[0])
    _goes_on(run)


def _budget_changed(bench: Bench) -> None:
    run = bench.opened()
    run.log.budget_changed(run.budget())
    _goes_on(run)


def _unknown_event(bench: Bench) -> None:
    run = bench.opened()
    trials = run.begun()
    run.log.unknown(UNKNOWN_EVENT)
    run.log.ended(trials[0])
    _goes_on(run)


def _unknown_field(bench: Bench) -> None:
    run = bench.run()
    for message in (run.opening, run.opening.call, run.opening.problem, run.opening.problem.dataset):
        message.MergeFromString(UNKNOWN_FIELD)
    run.open()
    trials = run.begun()
    run.log.ended(trials[0])
    for event in run.log.events[run.applied :]:
        event.MergeFromString(UNKNOWN_FIELD)
        event.ended.MergeFromString(UNKNOWN_FIELD)
    _goes_on(run)
    asking = run.asking(1)
    asking.MergeFromString(UNKNOWN_FIELD)
    bench.exchange.propose(asking, bench.propose_s).value()


def _unknown_enum(bench: Bench) -> None:
    run = bench.opened()
    for trial in run.begun():
        run.log.ended(trial, State.STATE_FAILED)
        run.log.events[-1].ended.state = UNKNOWN_ENUM  # type: ignore[assignment]
        run.log.events[-1].ended.error.severity = UNKNOWN_ENUM  # type: ignore[assignment]
    _answers(run)


def _large(bench: Bench) -> None:
    run = bench.opened()
    (trial,) = run.begun(1)
    for number in range(MOST_EVENTS):
        run.log.measured(trial, number / MOST_EVENTS)
        for metric in range(38):
            run.log.events[-1].measured.metrics[f"metric_{metric:02d}/of_a_name_that_is_long_enough"] = 0.5
    events = run.log.events[run.applied :]
    request = run.sending(events)
    assert 0.9 * MIB < request.ByteSize() <= MIB, request.ByteSize()
    run.send(events)
    _goes_on(run)


def _answers(run: Run) -> None:
    """The events are taken, and the two other operations still answer."""
    run.ingest()
    run.assess()
    run.propose(1, run.request_id())


def _goes_on(run: Run) -> None:
    """And there are more candidates, or none are left: nothing waits for what has ended."""
    _answers(run)
    run.candidates(1)


CHECKS: Final = (
    Check("core/ingest-repeat", "Ingest of the same events has no effect, ten times.", Level.CORE, _repeat),
    Check("core/ingest-overlap", "Of events that are partly known, the others are applied.", Level.CORE, _overlap),
    Check(
        "core/ingest-gap",
        "Ingest of events with a hole before them is OUT_OF_RANGE / SEQ_GAP with applied_seq, and none is applied.",
        Level.CORE,
        _gap,
    ),
    Check("core/trial-ends", "A search goes on after a trial of each end state.", Level.CORE, _ends),
    Check("core/trial-nan", "A search goes on after metrics that are not finite.", Level.CORE, _not_a_number),
    Check("core/trial-retried", "A search goes on after a lost trial that is tried again.", Level.CORE, _retried),
    Check("core/all-failed", "A search goes on where every trial has failed.", Level.CORE, _all_failed),
    Check("core/rejected", "A search goes on where every candidate was rejected.", Level.CORE, _rejected),
    Check(
        "core/injected",
        "A candidate of the user's own, and its trial, are taken.",
        Level.CORE,
        _injected,
        needs=pb.CAPABILITY_INJECTED_CANDIDATES,
    ),
    Check(
        "core/budget-changed",
        "An event of another budget is taken.",
        Level.CORE,
        _budget_changed,
        needs=pb.CAPABILITY_BUDGET_CHANGE,
    ),
    Check("core/unknown-event", "An event of an unknown kind is acknowledged.", Level.CORE, _unknown_event),
    Check("core/unknown-field", "Unknown fields are ignored, wherever they are.", Level.CORE, _unknown_field),
    Check("core/unknown-enum", "An unknown enum value is taken as UNSPECIFIED.", Level.CORE, _unknown_enum),
    Check("core/large-request", "Ingest of 500 events and nearly 1 MiB is taken.", Level.CORE, _large),
)
