"""What the engine checks before it trains a candidate: form, recipe, what it comes from or continues, and its graph."""

from __future__ import annotations

import json
import math
from collections import ChainMap
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from jsonschema import Draft202012Validator

from neunets.canonical import canonical_hash
from neunets.continuation import Pasts, among, continued
from neunets.cost import Cost, cost
from neunets.errors import InvalidGraph
from neunets.graph.v1 import graph_pb2
from neunets.lineage import Parent, network_of
from neunets.sentences import LONGEST, sentence
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.validate import validate
from neunets.wire import graph_from_proto, graph_to_proto, input_from_proto

__all__ = ["Judge", "Judgement"]

# Of a recipe, what its schema says nothing about.
UNSCHEMED: Final = ("schedule", "resume_trial")
NOBODY: Final[Mapping[str, Parent]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of a candidate. `refusal`: the code of the first rule it breaks, or ""; `digest`: of its graph, if it has one.

    `derived`: the graph that its lineage makes, or of the trial that it continues, if there is either.
    """

    refusal: str = ""
    path: str = ""
    summary: str = ""
    digest: str = ""
    derived: graph_pb2.Graph | None = None

    def diagnostic(self) -> pb.Diagnostic:
        severity = pb.Diagnostic.SEVERITY_ERROR
        summary = sentence(self.summary, LONGEST - 1)
        return pb.Diagnostic(severity=severity, code=self.refusal, path=self.path[:64], summary=summary)


class Judge:
    """The rules of one problem."""

    def __init__(self, problem: pb.Problem) -> None:
        self._input = input_from_proto(problem.input)
        self._classes = problem.dataset.classes
        self._limits = {c.metric: c.max for c in problem.constraints if c.hard and c.HasField("max")}
        self._recipe = Draft202012Validator(json.loads(problem.recipe_schema_json))

    def judge_all(
        self,
        candidates: Mapping[str, pb.Candidate],
        known: MutableMapping[str, str],
        parents: Mapping[str, Parent],
        past: Pasts,
    ) -> dict[str, Judgement]:
        """Those of one answer, by their names: each counts for the ones after it. Otherwise as `judge`."""
        found, networks, heirs = dict[str, Judgement](), ChainMap({}, known), dict[str, str]()

        for name, candidate in candidates.items():
            found[name] = self.judge(candidate, networks, parents, among(past, heirs))
            if not found[name].refusal:
                networks.setdefault(found[name].digest, name)
                heirs[candidate.recipe.resume_trial] = name  # no trial is called ""
        return found

    def judge(
        self,
        candidate: pb.Candidate,
        known: Mapping[str, str],
        parents: Mapping[str, Parent] = NOBODY,
        past: Pasts = lambda trial: None,
    ) -> Judgement:
        """`known`: digest → id of the candidates before it; `parents`: by id, those of them that were admitted.

        `past`: the run's trials.
        """
        is_continuation = bool(candidate.recipe.resume_trial)
        if not candidate.HasField("graph") and not candidate.lineage and not is_continuation:
            return Judgement("BAD_GRAPH", "graph", "neither a graph, nor a parent with a lineage")
        fault = self._recipe_fault(candidate.recipe)
        if fault:
            return Judgement("BAD_RECIPE", "recipe", fault)
        try:
            if is_continuation:
                return _continuation(candidate, past)
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


def _continuation(candidate: pb.Candidate, past: Pasts) -> Judgement:
    """Its network was admitted once, and keeps what it had to keep."""
    found = continued(candidate, past)
    if isinstance(found, pb.Diagnostic):
        return Judgement(found.code, found.path, found.summary)
    graph = graph_from_proto(found[0].graph)
    return Judgement(digest=canonical_hash(graph), derived=graph_to_proto(graph))
