"""How a candidate came from its parent, as messages: named morphisms, and whether they keep the function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from neunets.canonical import canonical_hash
from neunets.errors import InvalidGraph
from neunets.graph import Graph
from neunets.graph.v1 import graph_pb2
from neunets.morphisms import Morphism, arguments_of, morphism
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.validate import validate
from neunets.wire import attribute_from_proto, attribute_to_proto, graph_from_proto

__all__ = ["Parent", "derived", "lineage_from_proto", "lineage_to_proto", "network_of"]


@dataclass(frozen=True, slots=True)
class Parent:
    """A candidate that a run has admitted, as it is now. `has_weights`: what its trial has left can be inherited."""

    id: str
    graph: graph_pb2.Graph
    has_ended: bool
    has_weights: bool


def lineage_to_proto(lineage: Iterable[Morphism]) -> list[synthesizer_pb2.Morph]:
    """Each claims to keep the function, unless it adds noise."""
    return [_to_proto(step) for step in lineage]


def lineage_from_proto(messages: Iterable[synthesizer_pb2.Morph]) -> tuple[Morphism, ...]:
    """Raises: InvalidGraph (UNKNOWN_MORPHISM, BAD_ARGUMENT, BAD_ATTRIBUTE)."""
    return tuple(map(_from_proto, messages))


def derived(graph: Graph, messages: Sequence[synthesizer_pb2.Morph]) -> Graph | synthesizer_pb2.Diagnostic:
    """The graph that a lineage makes of a valid one, or why it makes none: BAD_MORPH, with the step as its path."""
    for number, message in enumerate(messages):
        try:
            graph = _from_proto(message).apply(graph)
        except InvalidGraph as error:
            return _refusal("BAD_MORPH", f"lineage[{number}]", f"{message.kind[:32]} at {error.message}")
    return graph


def network_of(
    candidate: synthesizer_pb2.Candidate, parents: Mapping[str, Parent]
) -> Graph | synthesizer_pb2.Diagnostic:
    """The graph of a candidate, or why there is none: BAD_PARENT, BAD_MORPH, LINEAGE_DIFFERS.

    It has a graph of its own, or a lineage, or both. `parents`: by id, those that the run has admitted.

    Raises: InvalidGraph for a graph that cannot be read, or is not valid.
    """
    for number, name in enumerate(candidate.parents):
        if name not in parents:
            return _refusal("BAD_PARENT", f"parents[{number}]", f"the run has admitted no candidate {name[:64]!r}")
    given = graph_from_proto(candidate.graph) if candidate.HasField("graph") else None
    if given is not None and not candidate.lineage:
        return given
    if not candidate.parents:
        return _refusal("BAD_PARENT", "parents", "a lineage begins at parents[0]: name the candidate that it came from")
    parent = parents[candidate.parents[0]]
    if not parent.has_weights:
        why = "its trial has failed" if parent.has_ended else "its trial has not ended: propose its children afterwards"
        return _refusal("BAD_PARENT", "parents[0]", f"{parent.id} has no weights to inherit: {why}")
    child = derived(graph_from_proto(parent.graph), candidate.lineage)
    if isinstance(child, synthesizer_pb2.Diagnostic):
        return child
    if given is not None:
        validate(given)  # the hash is for valid graphs
        if canonical_hash(given) != canonical_hash(child):
            text = f"it is not the network that the lineage makes of {parent.id}: leave one of both out"
            return _refusal("LINEAGE_DIFFERS", "graph", text)
    return child


def _to_proto(step: Morphism) -> synthesizer_pb2.Morph:
    given = arguments_of(step)
    message = synthesizer_pb2.Morph(kind=step.kind, node=step.node, function_preserving=not given.get("noise"))
    for name, value in given.items():
        message.args[name].CopyFrom(attribute_to_proto(value))
    return message


def _from_proto(message: synthesizer_pb2.Morph) -> Morphism:
    given = {name: attribute_from_proto(message.node, name, value) for name, value in sorted(message.args.items())}
    return morphism(message.kind, message.node, given)


def _refusal(code: str, path: str, summary: str) -> synthesizer_pb2.Diagnostic:
    severity = synthesizer_pb2.Diagnostic.SEVERITY_ERROR
    return synthesizer_pb2.Diagnostic(severity=severity, code=code, path=path, summary=summary[:256])
