"""Third operation: a verdict that changes nothing."""

from __future__ import annotations

import math
from typing import Final

from neunets.conform.bench import Bench
from neunets.conform.check import Check, Level, Violation
from neunets.conform.core_propose import gap
from neunets.conform.drive import Run
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["CHECKS"]

VERDICT: Final = pb.AssessResponse.Verdict
NOTHING_LEFT: Final = pb.Budget(wall_s=60.0, wall_s_left=0.0, trials=8, trials_left=0, slots=2)
ZERO: Final = pb.Budget(wall_s=0.0, wall_s_left=0.0, trials=0, trials_left=0, device_s=0.0, slots=2)
TIMES: Final = 3


def _first(bench: Bench) -> None:
    _is_known(bench.opened().assess())


def _repeated(bench: Bench) -> None:
    run = bench.opened()
    run.begun()
    for _ in range(TIMES):
        _is_known(run.assess())


def _progress(bench: Bench) -> None:
    run = bench.opened()
    for _ in range(TIMES):
        _is_within(run.assess())
        run.finish(len(run.begun()))
    _is_within(run.assess())
    _is_within(run.try_assess(NOTHING_LEFT).value())


def _zero_budget(bench: Bench) -> None:
    run = bench.opened()
    for left in (NOTHING_LEFT, ZERO):
        _is_known(run.try_assess(left).value())
    run.finish(len(run.begun()))
    for left in (NOTHING_LEFT, ZERO):
        _is_known(run.try_assess(left).value())


def _is_known(answer: pb.AssessResponse) -> None:
    if answer.verdict == VERDICT.VERDICT_UNSPECIFIED or answer.verdict not in VERDICT.values():
        raise Violation(f"{answer.verdict} is no verdict")


def _is_within(answer: pb.AssessResponse) -> None:
    if answer.HasField("progress") and not 0.0 <= answer.progress <= 1.0:
        raise Violation(f"progress is {answer.progress:g}, not within 0..1")
    if answer.HasField("expected_gain") and math.isnan(answer.expected_gain):
        raise Violation("expected_gain is not a number")


def _log_seq(bench: Bench) -> None:
    run = bench.opened()
    run.begun()
    for log_seq in (0, run.applied + 1):
        gap(run.try_assess(log_seq=log_seq), run.applied, f"at log_seq {log_seq}, with {run.applied} events ingested,")


def _pure(bench: Bench) -> None:
    """A run that was never assessed, and one of the same seed that often was."""
    seed = bench.seed()
    plain, assessed = bench.opened(seed=seed), bench.opened(seed=seed)
    proposed = []
    for run in (plain, assessed):
        _assess(run, TIMES if run is assessed else 0)
        run.begun()
        _assess(run, TIMES if run is assessed else 0)
        proposed.append(run.candidates(3))
    if bench.is_deterministic and proposed[0] != proposed[1]:
        raise Violation("Assess has changed what is proposed")
    request_id = assessed.request_id()
    before = assessed.candidates(2, request_id)
    _assess(assessed, TIMES)
    if assessed.candidates(2, request_id) != before:
        raise Violation("after Assess, the same request_id was answered with other candidates")


def _assess(run: Run, times: int) -> None:
    for _ in range(times):
        run.assess()


CHECKS: Final = (
    Check("core/assess-first", "Assess before any result has a known verdict.", Level.CORE, _first),
    Check("core/assess-repeat", "Assess is answered however often.", Level.CORE, _repeated),
    Check("core/assess-progress", "Progress is within 0..1, and an expected gain is a number.", Level.CORE, _progress),
    Check(
        "core/assess-zero-budget",
        "With no budget left, Assess has a known verdict; CONTINUE too, since the budget always wins.",
        Level.CORE,
        _zero_budget,
    ),
    Check(
        "core/assess-log-seq",
        "Assess whose log_seq is not what was applied is OUT_OF_RANGE / SEQ_GAP with applied_seq.",
        Level.CORE,
        _log_seq,
    ),
    Check("core/assess-pure", "Assess changes nothing.", Level.CORE, _pure),
)
