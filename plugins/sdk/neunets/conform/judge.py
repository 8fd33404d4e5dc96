"""What the engine checks before it trains a candidate: form, recipe, lineage, graph, hard constraints, duplicates."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from jsonschema import Draft202012Validator

from neunets.canonical import canonical_hash
from neunets.cost import Cost, cost
from neunets.errors import InvalidGraph
from neunets.graph.v1 import graph_pb2
from neunets.lineage import Parent, network_of
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.validate import validate
from neunets.wire import graph_to_proto, input_from_proto

__all__ = ["Judge", "Judgement"]

# Of a recipe, what its schema says nothing about.
UNSCHEMED: Final = ("schedule", "resume_trial")
LONGEST_STRING: Final = 256
NOBODY: Final[Mapping[str, Parent]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of a candidate. `refusal`: the code of the first rule it breaks, or ""; `digest`: of its graph, if it has one.

    `derived`: the graph that its lineage makes, if it has one.
    """

    refusal: str = ""
    path: str = ""
    summary: str = ""
    digest: str = ""
    derived: graph_pb2.Graph | None = None

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

    def judge(
        self, candidate: pb.Candidate, known: Mapping[str, str], parents: Mapping[str, Parent] = NOBODY
    ) -> Judgement:
        """`known`: digest → id of the candidates before it; `parents`: by id, those of them that were admitted."""
        if not candidate.HasField("graph") and not candidate.lineage:
            return Judgement("BAD_GRAPH", "graph", "neither a graph, nor a parent with a lineage")
        fault = self._recipe_fault(candidate.recipe)
        if fault:
            return Judgement("BAD_RECIPE", "recipe", fault)
        try:
            graph = network_of(candidate, parents)
            if isinstance(graph, pb.Diagnostic):
                return Judgement(graph.code, graph.path, graph.summary)
            price = cost(graph, validate(graph, classes=self._classes, input=self._input))
        except InvalidGraph as error:
            return Judgement("BAD_GRAPH", error.node, error.message)
        over = self._excess(price)
        if over:
            return Judgement("OVER_CONSTRAINT", over[0], over[1])
        digest = canonical_hash(graph)
        if digest in known:
            return Judgement("DUPLICATE", "graph", f"the same network as candidate {known[digest]}", digest)
        return Judgement(digest=digest, derived=graph_to_proto(graph) if candidate.lineage else None)

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
