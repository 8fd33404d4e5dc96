"""What is proposed: in a search of 200 candidates, in shorter ones for another task and with a tight bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from neunets.conform.bench import Bench
from neunets.conform.check import Check, Level, Violation
from neunets.conform.drive import Run
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["CHECKS", "none_refused"]

MOST_LABELS: Final = 16


def _search(bench: Bench) -> None:
    for run in bench.survey.runs(bench):
        if not run.log.candidates:
            raise Violation(f"a whole search for {run.opening.problem.task} has no candidate")


def none_refused(
    code: str,
    bench: Bench,
    runs: Sequence[Run],
    concerns: Callable[[pb.Candidate], bool] = lambda candidate: True,
) -> None:
    """None of the candidates that it `concerns` was refused with `code`. Raises: Violation."""
    for run in runs:
        for name, found in run.judged.items():
            candidate = run.log.candidates[name]
            if found.refusal == code and concerns(candidate):
                bench.exchange.show(name, candidate)
                bound = " with a hard bound" if run.opening.problem.constraints else ""
                where = f"candidate {name} for {run.opening.problem.task}{bound}"
                raise Violation(f"{where}: {found.path}: {found.summary}")


def _builds(bench: Bench) -> None:
    none_refused("BAD_GRAPH", bench, bench.survey.runs(bench))


def _constraints(bench: Bench) -> None:
    none_refused("OVER_CONSTRAINT", bench, bench.survey.runs(bench))


def _recipe(bench: Bench) -> None:
    none_refused("BAD_RECIPE", bench, bench.survey.runs(bench))


def _distinct(bench: Bench) -> None:
    none_refused("DUPLICATE", bench, bench.survey.runs(bench))


def _ops(bench: Bench) -> None:
    declared = set(bench.description.graph_ops)
    for run in bench.survey.runs(bench):
        for name, candidate in run.log.candidates.items():
            admitted = run.log.family.parents.get(name)  # with the graph that its lineage makes
            graph = candidate.graph if admitted is None else admitted.graph
            other = sorted({node.op for node in graph.nodes} - declared)
            if other:
                bench.exchange.show(name, candidate)
                raise Violation(f"candidate {name} uses {', '.join(other)}, which graph_ops does not name")


def _ancestry(bench: Bench) -> None:
    runs = bench.survey.runs(bench)
    none_refused("BAD_PARENT", bench, runs, lambda candidate: not candidate.lineage)  # else see core/lineage-parent
    for run in runs:
        local: set[str] = set()
        for name, candidate in run.log.candidates.items():
            if candidate.local_id and candidate.local_id in local:
                bench.exchange.show(name, candidate)
                raise Violation(f"candidate {name} has the local_id {candidate.local_id!r} of an earlier one")
            local.add(candidate.local_id)


def _labels(bench: Bench) -> None:
    for run in bench.survey.runs(bench):
        for name, candidate in run.log.candidates.items():
            if len(candidate.labels) > MOST_LABELS:
                bench.exchange.show(name, candidate)
                labels = f"{len(candidate.labels)} labels, at most {MOST_LABELS} are allowed"
                raise Violation(f"candidate {name} has {labels}")


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
    Check(
        "core/candidates-distinct",
        "No network is proposed twice in 200, except to continue its trial.",
        Level.CORE,
        _distinct,
    ),
    Check(
        "core/candidates-ancestry",
        "Parents are candidates that the run has admitted before, and a local_id is unique in it.",
        Level.CORE,
        _ancestry,
    ),
    Check("core/candidates-labels", "A candidate has at most 16 labels.", Level.CORE, _labels),
)
