"""One hash for all spellings of a network."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from neunets.graph import AttributeValue, Graph, Node
from neunets.ops import REMEMBERED, Given, attributes_of, given_by

__all__ = ["canonical_hash", "framed"]

# Operators whose inputs may be exchanged.
COMMUTATIVE: Final = frozenset({"add"})


def canonical_hash(graph: Graph) -> str:
    """SHA-256, in hexadecimal, of the function's structure.

    Each node is digested with its operator, its attributes (defaults filled in) and its inputs' digests, so that names,
    the order of the nodes and nodes that nobody reads do not count; the weights are not part of it. Two nodes that
    compute from the same inputs with the same attributes have the same digest: sharing one or repeating it is told
    apart by the number of nodes.

    Raises: InvalidGraph (UNKNOWN_OP, BAD_ATTRIBUTE).
    """
    given = graph.input
    digests = {
        given.name: _digest(
            [b"input", *map(_bytes, given.shape), given.dtype.value.encode(), *map(_bytes, (*given.mean, *given.std))]
        )
    }
    for node in graph.nodes:
        inputs = [digests[name] for name in node.inputs]
        if node.op in COMMUTATIVE:
            inputs.sort()
        digests[node.name] = hashlib.sha256(_head(node) + framed(inputs)).digest()
    reached, stack = {graph.output}, [graph.output]
    sources = {node.name: node.inputs for node in graph.nodes}
    while stack:
        for name in sources.get(stack.pop(), ()):
            if name not in reached:
                reached.add(name)
                stack.append(name)
    everything = sorted(digests[name] for name in reached)
    return _digest([digests[graph.output], *everything]).hex()


def _head(node: Node) -> bytes:
    """What its digest says of the node itself, before its inputs."""
    attributes_of(node)  # whose errors name the node
    return _told(node.op, given_by(node))


@lru_cache(REMEMBERED)
def _told(op: str, given: Given) -> bytes:
    values = attributes_of(Node("", op, (), {name: value for name, _, value in given}))
    attributes = [f"{name}=".encode() + _bytes(value) for name, value in sorted(values.items())]
    return framed([op.encode(), *attributes, b"|"])


def _digest(parts: Iterable[bytes]) -> bytes:
    return hashlib.sha256(framed(parts)).digest()


def framed(parts: Iterable[bytes]) -> bytes:
    """One after the other, each behind its length, so that no two lists give the same bytes."""
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def _bytes(value: AttributeValue) -> bytes:
    """With its type: 1, 1.0 and True are three values."""
    if isinstance(value, float):
        return b"f" + struct.pack(">d", value)
    return f"{type(value).__name__}:{value}".encode()
