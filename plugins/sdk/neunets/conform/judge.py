"""What the engine checks before it trains a candidate: form, recipe, graph, hard constraints, duplicates."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from jsonschema import Draft202012Validator

from neunets.canonical import canonical_hash
from neunets.cost import Cost, cost
from neunets.errors import InvalidGraph
from neunets.graph import Graph
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.validate import validate
from neunets.wire import graph_from_proto, input_from_proto

__all__ = ["Judge", "Judgement"]

# Of a recipe, what its schema says nothing about.
UNSCHEMED: Final = ("schedule", "resume_trial")
LONGEST_STRING: Final = 256


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of a candidate. `refusal`: the code of the first rule it breaks, or ""; `digest`: of its graph, if it has one."""

    refusal: str = ""
    path: str = ""
    summary: str = ""
    digest: str = ""

    def diagnostic(self) -> pb.Diagnostic:
        severity = pb.Diagnostic.SEVERITY_ERROR
        summary = self.summary.encode()[: LONGEST_STRING - 1].decode(errors="ignore")
        return pb.Diagnostic(severity=severity, code=self.refusal, path=self.path[:64], summary=summary)


class Judge:
    """The rules of one problem."""

    def __init__(self, problem: pb.Problem) -> None:
        self._input = input_from_proto(problem.input)
        self._classes = problem.dataset.classes
        self._limits = {c.metric: c.max for c in problem.constraints if c.hard and c.HasField("max")}
        self._recipe = Draft202012Validator(json.loads(problem.recipe_schema_json))

    def judge(self, candidate: pb.Candidate, known: Mapping[str, str]) -> Judgement:
        """`known`: digest → id of the candidates before it."""
        fault = self._recipe_fault(candidate.recipe)
        if fault:
            return Judgement("BAD_RECIPE", "recipe", fault)
        if not candidate.HasField("graph"):
            return _derived(candidate)
        try:
            graph = graph_from_proto(candidate.graph)
            validate(graph, classes=self._classes, input=self._input)
            price = cost(graph)
        except InvalidGraph as error:
            return Judgement("BAD_GRAPH", error.node, error.message)
        over = self._excess(price)
        if over:
            return Judgement("OVER_CONSTRAINT", over[0], over[1])
        return _distinct(graph, known)

    def _excess(self, price: Cost) -> tuple[str, str] | None:
        for metric, value in {"params": price.params, "flops": price.flops}.items():
            if value > self._limits.get(metric, math.inf):
                return metric, f"{value:,} {metric}, at most {self._limits[metric]:,.0f} are allowed"
        return None

    def _recipe_fault(self, recipe: pb.Recipe) -> str:
        given = {field.name: value for field, value in recipe.ListFields() if field.name not in UNSCHEMED}
        for name, value in given.items():
            if not math.isfinite(value):
                return f"{name} is {value}"
        if recipe.schedule not in pb.Schedule.values():
            return f"there is no schedule {recipe.schedule}"
        error = next(self._recipe.iter_errors(given), None)
        return f"{'.'.join(map(str, error.path)) or 'recipe'}: {error.message}" if error else ""


def _derived(candidate: pb.Candidate) -> Judgement:
    """Without a graph: the engine derives it from the parent."""
    if candidate.parents and candidate.lineage:
        return Judgement()
    return Judgement("BAD_GRAPH", "graph", "neither a graph, nor a parent with a lineage")


def _distinct(graph: Graph, known: Mapping[str, str]) -> Judgement:
    digest = canonical_hash(graph)
    if digest in known:
        return Judgement("DUPLICATE", "graph", f"the same network as candidate {known[digest]}", digest)
    return Judgement(digest=digest)
