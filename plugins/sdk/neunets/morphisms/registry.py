"""All morphisms by their kinds, and what a message needs to name one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from neunets.errors import InvalidGraph
from neunets.graph import AttributeValue, Graph
from neunets.morphisms.branch import Branch
from neunets.morphisms.branch_and_insert import BranchAndInsert
from neunets.morphisms.deepen import Deepen
from neunets.morphisms.insert_skip import InsertSkip
from neunets.morphisms.morphism import Array, Morphism, Weights
from neunets.morphisms.widen import Widen
from neunets.morphisms.widen_kernel import WidenKernel

__all__ = ["MORPHISMS", "arguments_of", "derive", "inherit", "morphism"]

_ALL: Final[tuple[type[Morphism], ...]] = (Widen, Deepen, WidenKernel, InsertSkip, Branch, BranchAndInsert)

MORPHISMS: Final[Mapping[str, type[Morphism]]] = MappingProxyType({made.kind: made for made in _ALL})


def morphism(kind: str, node: str, arguments: Mapping[str, AttributeValue]) -> Morphism:
    """What a message says. Raises: InvalidGraph at `node` (UNKNOWN_MORPHISM, BAD_ARGUMENT)."""
    if kind not in MORPHISMS:
        raise InvalidGraph(node, "UNKNOWN_MORPHISM", f"no morphism {kind!r}: there is {', '.join(MORPHISMS)}")
    known = MORPHISMS[kind].arguments
    unknown = sorted(arguments.keys() - known.keys())
    if unknown:
        raise InvalidGraph(node, "BAD_ARGUMENT", f"{kind} has no {unknown[0]!r}: it has {', '.join(known)}")
    missing = sorted(name for name, rule in known.items() if rule.default is None and name not in arguments)
    if missing:
        raise InvalidGraph(node, "BAD_ARGUMENT", f"{kind} needs {missing[0]!r}")
    make: Callable[..., Morphism] = MORPHISMS[kind]
    return make(node, **arguments)


def arguments_of(given: Morphism) -> dict[str, AttributeValue]:
    """All arguments, defaults too: with `given.kind` and `given.node` they make the same morphism."""
    return {name: getattr(given, name) for name in given.arguments}


def derive(graph: Graph, lineage: Iterable[Morphism]) -> Graph:
    """Apply morphisms one after the other. Raises: InvalidGraph with a code of `RULES`."""
    for step in lineage:
        graph = step.apply(graph)
    return graph


def inherit(
    graph: Graph, parameters: Weights, lineage: Iterable[Morphism], batch: Array | None = None
) -> tuple[Graph, Weights]:
    """The same, with the weights; see `Morphism.weights`. Raises: InvalidGraph with a code of `RULES`."""
    for step in lineage:
        graph, parameters = step.apply(graph), step.weights(graph, parameters, batch)
    return graph, parameters
