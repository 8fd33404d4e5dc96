"""Candidates that continue a trial: in the same searches, and in the one where trials fail or last."""

from __future__ import annotations

from typing import Final

from neunets.conform.bench import Bench
from neunets.conform.check import Check, Level, Skipped, Violation
from neunets.conform.core_candidates import none_refused
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["CHECKS"]


def _declared(bench: Bench) -> None:
    if bench.has(pb.CAPABILITY_CONTINUATION):
        return
    for run in bench.survey.runs(bench):
        for name, candidate in run.log.candidates.items():
            if candidate.recipe.resume_trial:
                bench.exchange.show(name, candidate)
                raise Violation(f"candidate {name} continues a trial, but CONTINUATION is not declared")


def _ended(bench: Bench) -> None:
    runs = (*bench.survey.runs(bench), bench.survey.uneven(bench))
    if not any(candidate.recipe.resume_trial for run in runs for candidate in run.log.candidates.values()):
        raise Skipped("no candidate continues a trial")
    none_refused("BAD_CONTINUATION", bench, runs)


CHECKS: Final = (
    Check(
        "core/continuation-declared",
        "A plugin that continues trials declares CONTINUATION.",
        Level.CORE,
        _declared,
    ),
    Check(
        "core/continuation-ended",
        "A continuation goes on from a trial that has ended, SUCCEEDED or STOPPED, and that no other one continues, up "
        "to a larger total; all else is that trial's.",
        Level.CORE,
        _ended,
        needs=pb.CAPABILITY_CONTINUATION,
    ),
)
