"""The checks between a plugin's proposal and a worker: a candidate is admitted, or rejected with the reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from neunets.canonical import canonical_hash
from neunets.cost import Cost, cost
from neunets.errors import InvalidGraph
from neunets.graph import Graph, Input
from neunets.hyperparameters import HYPERPARAMETERS, TOTALS
from neunets.lineage import derived
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.validate import validate
from neunets.wire import graph_from_proto

__all__ = ["Admitted", "Family", "Rules", "admit"]

# The trial of a candidate of the run; None: there is none.
Family = Callable[[str], store_pb2.TrialRecord | None]

# Ranges of a recipe's numbers: field → (lowest, highest), both allowed.
RECIPE_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    **TOTALS,
    **{name: (entry.low, entry.high) for name, entry in HYPERPARAMETERS.items() if not isinstance(entry.usual, bool)},
}
MIRRORS: Final = ("mirror", "test_mirror")
# No worker has more: a network beyond this is refused even without a bound of the user's.
MOST_PARAMS: Final = 200_000_000
MOST_ACTIVATION_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class Rules:
    """What every network of a run has to keep."""

    input: Input
    classes: int
    max_params: int | None
    keeps_class: bool | None = None  # whether mirrored images do; None: not known


@dataclass(frozen=True, slots=True)
class Admitted:
    """A candidate that may be trained; `graph` in the engine's own spelling. `parent`: trial of its first parent."""

    graph: Graph
    cost: Cost
    digest: str
    parent: str = ""


def admit(
    candidate: synthesizer_pb2.Candidate,
    rules: Rules,
    known: Mapping[str, str],
    family: Family = lambda candidate: None,
) -> Admitted | Sequence[synthesizer_pb2.Diagnostic]:
    """Check a candidate. `known`: canonical hash → id of the candidates before it. Never raises."""
    if not candidate.HasField("graph") and not candidate.lineage:
        return [_refusal("BAD_GRAPH", "graph", "a candidate needs a graph, or a parent and a lineage")]
    recipe = _recipe_errors(candidate.recipe, rules)
    if recipe:
        return recipe
    parents = [family(name) for name in candidate.parents]
    for number, name in enumerate(candidate.parents):
        if parents[number] is None:
            return [_refusal("BAD_PARENT", f"parents[{number}]", f"the run has admitted no candidate {name[:64]!r}")]
    try:
        graph = _network(candidate, parents[0] if parents else None)
        if isinstance(graph, synthesizer_pb2.Diagnostic):
            return [graph]
        price = cost(graph, validate(graph, classes=rules.classes, input=rules.input))
    except InvalidGraph as error:
        return [_refusal("BAD_GRAPH", error.node, error.message)]
    limit = MOST_PARAMS if rules.max_params is None else min(rules.max_params, MOST_PARAMS)
    if price.params > limit:
        return [_refusal("OVER_CONSTRAINT", "params", f"{price.params:,} parameters, at most {limit:,} are allowed")]
    if price.activation_bytes > MOST_ACTIVATION_BYTES:
        text = (
            f"{price.activation_bytes:,} bytes of activations an example, at most {MOST_ACTIVATION_BYTES:,} are allowed"
        )
        return [_refusal("OVER_CONSTRAINT", "activation_bytes", text)]
    digest = canonical_hash(graph)
    if digest in known:
        return [_refusal("DUPLICATE", "graph", f"the same network as candidate {known[digest]}")]
    return Admitted(graph, price, digest, parents[0].trial if parents and parents[0] is not None else "")


def _network(
    candidate: synthesizer_pb2.Candidate, parent: store_pb2.TrialRecord | None
) -> Graph | synthesizer_pb2.Diagnostic:
    """The candidate's graph; where it has a lineage, what that makes of its parent, or why there is none.

    Raises: InvalidGraph for a graph that cannot be read.
    """
    given = graph_from_proto(candidate.graph) if candidate.HasField("graph") else None
    if given is not None and not candidate.lineage:
        return given
    if parent is None:
        return _refusal("BAD_PARENT", "parents", "a lineage begins at parents[0]: name the candidate that it came from")
    if "weights" not in parent.result.artifacts:
        has_ended = parent.state == service_pb2.TRIAL_STATE_ENDED
        why = "its trial has failed" if has_ended else "its trial has not ended: propose its children afterwards"
        return _refusal("BAD_PARENT", "parents[0]", f"{parent.candidate} has no weights to inherit: {why}")
    child = derived(graph_from_proto(parent.graph), candidate.lineage)
    if isinstance(child, synthesizer_pb2.Diagnostic):
        return child
    if given is not None and canonical_hash(given) != canonical_hash(child):
        text = f"it is not the network that the lineage makes of {parent.candidate}: leave one of both out"
        return _refusal("LINEAGE_DIFFERS", "graph", text)
    return child


def _recipe_errors(recipe: synthesizer_pb2.Recipe, rules: Rules) -> list[synthesizer_pb2.Diagnostic]:
    errors = []
    for field, (low, high) in RECIPE_RANGES.items():
        if recipe.HasField(field):  # type: ignore[arg-type]
            value = float(getattr(recipe, field))
            if not (math.isfinite(value) and low <= value <= high):
                text = f"{value:g} is not within {low:g}..{high:g}"
                errors.append(_refusal("BAD_RECIPE", f"recipe.{field}", text))
    for name, entry in HYPERPARAMETERS.items():
        if entry.is_for_images and getattr(recipe, name) and len(rules.input.shape) != 3:
            errors.append(_refusal("BAD_RECIPE", f"recipe.{name}", "only images are changed like that"))
    for field in MIRRORS:
        if getattr(recipe, field) and rules.keeps_class is False:
            errors.append(_refusal("BAD_RECIPE", f"recipe.{field}", "mirrored, these images change their class"))
    if recipe.schedule not in synthesizer_pb2.Schedule.values():
        errors.append(_refusal("BAD_RECIPE", "recipe.schedule", f"there is no schedule {recipe.schedule}"))
    if recipe.resume_trial:
        errors.append(_refusal("BAD_RECIPE", "recipe.resume_trial", "continuations are not supported by this engine"))
    return errors


def _refusal(code: str, path: str, summary: str) -> synthesizer_pb2.Diagnostic:
    severity = synthesizer_pb2.Diagnostic.SEVERITY_ERROR
    return synthesizer_pb2.Diagnostic(severity=severity, code=code, path=path[:256], summary=summary[:256])
