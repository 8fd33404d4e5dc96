"""What is proposed: in a search of 200 candidates, in shorter ones for another task and with a tight bound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from neunets.conform.bench import Bench
from neunets.conform.check import Check, Level, Violation
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["CHECKS"]

MOST_LABELS: Final = 16


def _search(bench: Bench) -> None:
    for run in bench.survey.runs(bench):
        if not run.log.candidates:
            raise Violation(f"a whole search for {run.opening.problem.task} has no candidate")


def _none_refused(code: str, bench: Bench) -> None:
    for run in bench.survey.runs(bench):
        for name, found in run.judged.items():
            if found.refusal == code:
                bench.exchange.show(name, run.log.candidates[name])
                bound = " with a hard bound" if run.opening.problem.constraints else ""
                where = f"candidate {name} for {run.opening.problem.task}{bound}"
                raise Violation(f"{where}: {found.path}: {found.summary}")


def _builds(bench: Bench) -> None:
    _none_refused("BAD_GRAPH", bench)


def _constraints(bench: Bench) -> None:
    _none_refused("OVER_CONSTRAINT", bench)


def _recipe(bench: Bench) -> None:
    _none_refused("BAD_RECIPE", bench)


def _distinct(bench: Bench) -> None:
    _none_refused("DUPLICATE", bench)


def _ops(bench: Bench) -> None:
    declared = set(bench.description.graph_ops)
    for name, candidate in _candidates(bench):
        other = sorted({node.op for node in candidate.graph.nodes} - declared)
        if other:
            bench.exchange.show(name, candidate)
            raise Violation(f"candidate {name} uses {', '.join(other)}, which graph_ops does not name")


def _ancestry(bench: Bench) -> None:
    for run in bench.survey.runs(bench):
        before: set[str] = set()
        local: set[str] = set()
        for name, candidate in run.log.candidates.items():
            unknown = sorted(set(candidate.parents) - before)
            if unknown:
                bench.exchange.show(name, candidate)
                raise Violation(f"candidate {name} has the parent {unknown[0]!r}, which is no earlier candidate")
            if candidate.local_id and candidate.local_id in local:
                bench.exchange.show(name, candidate)
                raise Violation(f"candidate {name} has the local_id {candidate.local_id!r} of an earlier one")
            before.add(name)
            local.add(candidate.local_id)


def _labels(bench: Bench) -> None:
    for name, candidate in _candidates(bench):
        if len(candidate.labels) > MOST_LABELS:
            bench.exchange.show(name, candidate)
            raise Violation(f"candidate {name} has {len(candidate.labels)} labels, at most {MOST_LABELS} are allowed")


def _candidates(bench: Bench) -> Iterator[tuple[str, pb.Candidate]]:
    for run in bench.survey.runs(bench):
        yield from run.log.candidates.items()


CHECKS: Final = (
    Check(
        "core/search",
        "A search of 200 candidates, or until Exhausted, goes through, and so do shorter ones of other problems.",
        Level.CORE,
        _search,
    ),
    Check(
        "core/candidates-build",
        "Every graph is valid, begins with the problem's input and ends in one logit a class.",
        Level.CORE,
        _builds,
    ),
    Check("core/candidates-constraints", "Every candidate keeps the hard constraints.", Level.CORE, _constraints),
    Check("core/candidates-ops", "Every graph has operators of graph_ops alone.", Level.CORE, _ops),
    Check("core/candidates-recipe", "Every recipe keeps to the problem's recipe_schema_json.", Level.CORE, _recipe),
    Check("core/candidates-distinct", "No network is proposed twice in 200.", Level.CORE, _distinct),
    Check(
        "core/candidates-ancestry",
        "Parents are earlier candidates of the run, and a local_id is unique in it.",
        Level.CORE,
        _ancestry,
    ),
    Check("core/candidates-labels", "A candidate has at most 16 labels.", Level.CORE, _labels),
)
