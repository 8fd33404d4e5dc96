"""Candidates that come from others by named morphisms: in the same searches, and in one where trials fail or last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from neunets.conform.bench import Bench
from neunets.conform.check import Check, Level, Skipped, Violation
from neunets.conform.core_candidates import none_refused
from neunets.conform.drive import Run
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["CHECKS"]


def _declared(bench: Bench) -> None:
    if bench.has(pb.CAPABILITY_WEIGHT_INHERITANCE):
        return
    for run in bench.survey.runs(bench):
        for name, candidate in run.log.candidates.items():
            if candidate.lineage:
                bench.exchange.show(name, candidate)
                raise Violation(f"candidate {name} has a lineage, but WEIGHT_INHERITANCE is not declared")


def _parent(bench: Bench) -> None:
    runs = (*bench.survey.runs(bench), bench.survey.uneven(bench))
    _inherited(runs)
    none_refused("BAD_PARENT", bench, runs, lambda candidate: bool(candidate.lineage))


def _applies(bench: Bench) -> None:
    runs = bench.survey.runs(bench)
    _inherited(runs)
    none_refused("BAD_MORPH", bench, runs)


def _agrees(bench: Bench) -> None:
    runs = bench.survey.runs(bench)
    if not any(candidate.HasField("graph") for candidate in _inherited(runs)):
        raise Skipped("no candidate has both a lineage and a graph")
    none_refused("LINEAGE_DIFFERS", bench, runs)


def _inherited(runs: Sequence[Run]) -> list[pb.Candidate]:
    """Raises: Skipped where there are none."""
    found = [candidate for run in runs for candidate in run.log.candidates.values() if candidate.lineage]
    if not found:
        raise Skipped("no candidate has a lineage")
    return found


CHECKS: Final = (
    Check(
        "core/lineage-declared",
        "A plugin that proposes a lineage declares WEIGHT_INHERITANCE.",
        Level.CORE,
        _declared,
    ),
    Check(
        "core/lineage-parent",
        "A lineage begins at an admitted candidate whose trial has left weights: SUCCEEDED or STOPPED.",
        Level.CORE,
        _parent,
        needs=pb.CAPABILITY_WEIGHT_INHERITANCE,
    ),
    Check(
        "core/lineage-applies",
        "Every step of a lineage can be applied to what the steps before it make of the parent.",
        Level.CORE,
        _applies,
        needs=pb.CAPABILITY_WEIGHT_INHERITANCE,
    ),
    Check(
        "core/lineage-agrees",
        "A graph beside a lineage is the network that the lineage makes of the parent.",
        Level.CORE,
        _agrees,
        needs=pb.CAPABILITY_WEIGHT_INHERITANCE,
    ),
)
