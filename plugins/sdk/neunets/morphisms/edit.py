"""Changes of graphs that all morphisms are made of. Graphs are values: each function returns a new one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count

from neunets.errors import InvalidGraph
from neunets.graph import AttributeValue, Graph, Node
from neunets.validate import validate

__all__ = ["exchanged", "fresh", "inserted", "layer_of", "node_of", "readers", "scope", "up_to", "with_attributes"]


def node_of(graph: Graph, name: str) -> Node:
    """Raises: InvalidGraph (NO_NODE)."""
    for node in graph.nodes:
        if node.name == name:
            return node
    raise InvalidGraph(name, "NO_NODE", "the graph has no such node")


def layer_of(graph: Graph, name: str, operators: Collection[str], rule: str) -> Node:
    """Raises: InvalidGraph (NO_NODE), and with `rule` unless the node is one of `operators`."""
    node = node_of(graph, name)
    if node.op not in operators:
        raise InvalidGraph(name, rule, f"{node.op} is none of {', '.join(operators)}")
    return node


def readers(graph: Graph, name: str) -> tuple[Node, ...]:
    return tuple(node for node in graph.nodes if name in node.inputs)


def scope(name: str) -> str:
    """With its last slash: "stage1/" of "stage1/conv"; new names do not grow with what they stand behind."""
    return "".join(name.rpartition("/")[:2])


def fresh(graph: Graph, names: Callable[[str], Sequence[str]]) -> tuple[str, ...]:
    """The first of `names("")`, `names("2")`, `names("3")`, … of which none is taken."""
    taken = {graph.input.name, *(node.name for node in graph.nodes)}
    suffixes = ("" if number == 1 else str(number) for number in count(1))
    return next(tuple(names(suffix)) for suffix in suffixes if taken.isdisjoint(names(suffix)))


def with_attributes(graph: Graph, changes: Mapping[str, Mapping[str, AttributeValue]]) -> Graph:
    """`changes`: new attributes by the names of their nodes. Raises: InvalidGraph, where the result is not valid."""
    nodes = (
        replace(node, attributes={**node.attributes, **changes[node.name]}) if node.name in changes else node
        for node in graph.nodes
    )
    return _checked(replace(graph, nodes=tuple(nodes)))


def inserted(graph: Graph, after: str, new: Sequence[Node]) -> Graph:
    """`new` right behind `after`, a node or the input: all others that read `after` read the last of `new` instead.

    Raises: InvalidGraph, where the result is not valid.
    """
    position = 0 if after == graph.input.name else 1 + graph.nodes.index(node_of(graph, after))
    rest = _rewired(graph.nodes[position:], after, new[-1].name)
    return _checked(replace(graph, nodes=(*graph.nodes[:position], *new, *rest)))


def exchanged(graph: Graph, old: Sequence[Node], new: Sequence[Node]) -> Graph:
    """`new` in the place of `old[0]`: all that read the last of `old` read the last of `new` instead.

    Nobody else reads `old`. Raises: InvalidGraph, where the result is not valid.
    """
    position = graph.nodes.index(old[0])
    rest = [node for node in graph.nodes[position:] if node not in old]
    nodes = (*graph.nodes[:position], *new, *_rewired(rest, old[-1].name, new[-1].name))
    return _checked(replace(graph, nodes=nodes))


def up_to(graph: Graph, name: str) -> Graph:
    """The part that computes the value of `name`, a node."""
    needed, kept = {name}, []
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
            kept.append(node)
    return replace(graph, nodes=tuple(reversed(kept)), output=name)


def _rewired(nodes: Sequence[Node], old: str, new: str) -> list[Node]:
    return [replace(node, inputs=tuple(new if name == old else name for name in node.inputs)) for node in nodes]


def _checked(graph: Graph) -> Graph:
    validate(graph)
    return graph
