"""Trainings that go on: what a candidate becomes that continues an ended trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from neunets.canonical import canonical_hash
from neunets.graph.v1 import graph_pb2
from neunets.hyperparameters import TOTALS
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.validate import validate
from neunets.wire import graph_from_proto

__all__ = ["CHECKPOINT", "Past", "Pasts", "among", "continued"]

# The artifact of a trial that is continued.
CHECKPOINT: Final = "checkpoint"


@dataclass(frozen=True, slots=True)
class Past:
    """A trial of a run, as it is now. `recipe`: by which it was trained; `epochs`, `device_s`: what it has used.

    `heir`: the trial that continues it already, or "".
    """

    trial: str
    graph: graph_pb2.Graph
    recipe: synthesizer_pb2.Recipe
    has_ended: bool
    has_checkpoint: bool
    epochs: float = 0.0
    device_s: float = 0.0
    heir: str = ""


# A trial of a run, by its name; None: the run has none of that name.
Pasts: TypeAlias = Callable[[str], Past | None]


def among(past: Pasts, heirs: Mapping[str, str]) -> Pasts:
    """As `past`, with the `heirs` that other candidates of the same answer give to trials."""

    def found(trial: str) -> Past | None:
        known = past(trial)
        return replace(known, heir=heirs[trial]) if known is not None and trial in heirs else known

    return found


def continued(
    candidate: synthesizer_pb2.Candidate, past: Pasts
) -> tuple[Past, synthesizer_pb2.Recipe] | synthesizer_pb2.Diagnostic:
    """The trial that a candidate continues, with the recipe by which it goes on, or why it cannot: BAD_CONTINUATION.

    Raises: InvalidGraph for a graph that is none.
    """
    name = candidate.recipe.resume_trial
    found = past(name)
    if found is None:
        return _refusal("recipe.resume_trial", f"the run has no trial {name[:64]!r}")
    if not found.has_checkpoint:
        why = "it left no checkpoint" if found.has_ended else "it has not ended: continue it afterwards"
        return _refusal("recipe.resume_trial", f"{name} cannot be continued: {why}")
    if found.heir:
        return _refusal("recipe.resume_trial", f"{name} is continued by {found.heir} already: continue that one")
    for field in ("parents", "lineage"):
        if getattr(candidate, field):
            return _refusal(field, f"a continuation is the network of {name} as it is: leave {field} out")
    if candidate.HasField("graph") and _digest(candidate.graph) != _digest(found.graph):
        return _refusal("graph", f"it is not the network of {name}: leave it out")
    return _recipe(candidate.recipe, found)


def _recipe(
    asked: synthesizer_pb2.Recipe, past: Past
) -> tuple[Past, synthesizer_pb2.Recipe] | synthesizer_pb2.Diagnostic:
    total = asked.WhichOneof("total")
    if total is None:
        return _refusal("recipe.total", f"say up to how many epochs, steps or device_s {past.trial} is trained")
    used = {"epochs": past.epochs, "device_s": past.device_s, "steps": past.recipe.steps}[total]
    if not getattr(asked, total) > used:
        return _refusal(f"recipe.{total}", f"{past.trial} has {used:g} already: the total counts from its first step")
    given, before = _values(asked), _values(past.recipe)
    for name, value in given.items():
        if value != before.get(name, value):
            text = f"{value} is not what {past.trial} was trained with, {before[name]}: leave it out"
            return _refusal(f"recipe.{name}", text)
    recipe = synthesizer_pb2.Recipe()
    recipe.CopyFrom(past.recipe)
    recipe.ClearField("total")
    recipe.ClearField("resume_trial")
    setattr(recipe, total, getattr(asked, total))
    return past, recipe


def _values(recipe: synthesizer_pb2.Recipe) -> dict[str, object]:
    """What is set of what a continuation cannot change."""
    free = {*TOTALS, "resume_trial"}
    return {field.name: value for field, value in recipe.ListFields() if field.name not in free}


def _digest(message: graph_pb2.Graph) -> str:
    graph = graph_from_proto(message)
    validate(graph)  # a hash is of a graph that is one
    return canonical_hash(graph)


def _refusal(path: str, summary: str) -> synthesizer_pb2.Diagnostic:
    severity = synthesizer_pb2.Diagnostic.SEVERITY_ERROR
    return synthesizer_pb2.Diagnostic(severity=severity, code="BAD_CONTINUATION", path=path, summary=summary[:256])
