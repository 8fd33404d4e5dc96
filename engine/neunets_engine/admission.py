"""The checks between a plugin's proposal and a worker: a candidate is admitted, or rejected with the reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from neunets.canonical import canonical_hash
from neunets.continuation import Pasts, continued
from neunets.cost import Cost, cost
from neunets.errors import InvalidGraph
from neunets.graph import Graph, Input
from neunets.hyperparameters import HYPERPARAMETERS, TOTALS
from neunets.lineage import Parent, network_of
from neunets.messages import CANDIDATE_BYTES
from neunets.sentences import sentence
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.validate import validate
from neunets.wire import graph_from_proto, graph_to_proto
from neunets_engine.quotas import excess

__all__ = ["TOO_LARGE", "Admitted", "Family", "Rules", "admit"]

# The trial of a candidate of the run; None: there is none.
Family = Callable[[str], store_pb2.TrialRecord | None]

# Ranges of a recipe's numbers: field → (lowest, highest), both allowed.
RECIPE_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    **TOTALS,
    **{name: (entry.low, entry.high) for name, entry in HYPERPARAMETERS.items() if not isinstance(entry.usual, bool)},
}
# Code of what is larger than the contract allows; no more than its name is kept of it.
TOO_LARGE: Final = "TOO_LARGE"
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
    """A candidate that may be trained; `graph` in the engine's own spelling. `parent`: trial of its first parent.

    `continued`: the trial that it continues, by a `recipe` that is complete.
    """

    graph: Graph
    cost: Cost
    digest: str
    parent: str = ""
    continued: str = ""
    recipe: synthesizer_pb2.Recipe | None = None


def admit(
    candidate: synthesizer_pb2.Candidate,
    rules: Rules,
    known: Mapping[str, str],
    family: Family = lambda candidate: None,
    past: Pasts = lambda trial: None,
) -> Admitted | Sequence[synthesizer_pb2.Diagnostic]:
    """Check a candidate. `known`: canonical hash → id of the candidates before it; `past`: trials to continue, by name.

    Never raises.
    """
    path, why = excess(candidate)
    if why:
        return [_refusal(TOO_LARGE, path, why)]
    is_continuation = bool(candidate.recipe.resume_trial)
    if not candidate.HasField("graph") and not candidate.lineage and not is_continuation:
        return [_refusal("BAD_GRAPH", "graph", "a candidate needs a graph, or a parent and a lineage")]
    recipe = _recipe_errors(candidate.recipe, rules)
    if recipe:
        return recipe
    try:
        if is_continuation:
            return _continuation(candidate, past)
        trials = {name: trial for name in candidate.parents if (trial := family(name)) is not None}
        graph = network_of(candidate, {name: _parent(trial) for name, trial in trials.items()})
        if isinstance(graph, synthesizer_pb2.Diagnostic):
            return [graph]
        price = cost(graph, validate(graph, classes=rules.classes, input=rules.input))
        if candidate.lineage and (size := graph_to_proto(graph).ByteSize()) > CANDIDATE_BYTES:
            text = f"the lineage makes a graph of {size:,} bytes, at most {CANDIDATE_BYTES:,} are allowed"
            return [_refusal(TOO_LARGE, "lineage", text)]
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
    return Admitted(graph, price, digest, trials[candidate.parents[0]].trial if trials else "")


def _continuation(candidate: synthesizer_pb2.Candidate, past: Pasts) -> Admitted | Sequence[synthesizer_pb2.Diagnostic]:
    """Its network was admitted once, and keeps what it had to keep."""
    found = continued(candidate, past)
    if isinstance(found, synthesizer_pb2.Diagnostic):
        return [found]
    trial, recipe = found
    graph = graph_from_proto(trial.graph)
    return Admitted(graph, cost(graph), canonical_hash(graph), continued=trial.trial, recipe=recipe)


def _parent(trial: store_pb2.TrialRecord) -> Parent:
    has_ended = trial.state == service_pb2.TRIAL_STATE_ENDED
    return Parent(trial.candidate, trial.graph, has_ended, "weights" in trial.result.artifacts)


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
    return errors


def _refusal(code: str, path: str, summary: str) -> synthesizer_pb2.Diagnostic:
    severity = synthesizer_pb2.Diagnostic.SEVERITY_ERROR
    return synthesizer_pb2.Diagnostic(severity=severity, code=code, path=sentence(path), summary=sentence(summary))
