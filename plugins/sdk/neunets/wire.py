"""Graphs to messages and back. Protobuf stops here."""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import Final

from neunets.errors import InvalidGraph
from neunets.graph import AttributeValue, DataType, Graph, Input, Node
from neunets.graph.v1 import graph_pb2
from neunets.ops import REMEMBERED, Given, given_by

__all__ = [
    "attribute_from_proto",
    "attribute_to_proto",
    "graph_from_proto",
    "graph_to_proto",
    "input_from_proto",
    "input_to_proto",
]

TO_WIRE: Final = {DataType.UINT8: graph_pb2.DATA_TYPE_UINT8, DataType.FLOAT32: graph_pb2.DATA_TYPE_FLOAT32}
FROM_WIRE: Final = {value: key for key, value in TO_WIRE.items()}
# Larger nodes are not remembered: most networks of a search share theirs.
LARGEST_BYTES: Final = 512


def input_to_proto(given: Input) -> graph_pb2.Input:
    return graph_pb2.Input(
        name=given.name, shape=given.shape, dtype=TO_WIRE[given.dtype], mean=given.mean, std=given.std
    )


def input_from_proto(message: graph_pb2.Input) -> Input:
    """Raises: InvalidGraph (BAD_INPUT) for an unknown data type."""
    if message.dtype not in FROM_WIRE:
        raise InvalidGraph(message.name, "BAD_INPUT", f"unknown data type {message.dtype}")
    dtype = FROM_WIRE[message.dtype]
    return Input(message.name, tuple(message.shape), dtype, tuple(message.mean), tuple(message.std))


def graph_to_proto(graph: Graph) -> graph_pb2.Graph:
    message = graph_pb2.Graph(input=input_to_proto(graph.input), output=graph.output)
    for node in graph.nodes:
        message.nodes.add().MergeFromString(_written(node.name, node.op, node.inputs, given_by(node)))
    return message


@lru_cache(REMEMBERED)
def _written(name: str, op: str, inputs: tuple[str, ...], given: Given) -> bytes:
    message = graph_pb2.Node(name=name, op=op, inputs=inputs)
    for attribute, _, value in given:
        message.attributes[attribute].CopyFrom(attribute_to_proto(value))
    return message.SerializeToString()


def graph_from_proto(message: graph_pb2.Graph) -> Graph:
    """Only the form is checked, not the rules. Raises: InvalidGraph."""
    return Graph(input_from_proto(message.input), tuple(map(_node, message.nodes)), message.output)


def _node(message: graph_pb2.Node) -> Node:
    if message.ByteSize() > LARGEST_BYTES:
        return _read(message)
    return _remembered(message.SerializeToString(deterministic=True))


@lru_cache(REMEMBERED)
def _remembered(message: bytes) -> Node:
    return _read(graph_pb2.Node.FromString(message))


def _read(message: graph_pb2.Node) -> Node:
    attributes = {
        name: attribute_from_proto(message.name, name, value) for name, value in sorted(message.attributes.items())
    }
    return Node(message.name, message.op, tuple(message.inputs), MappingProxyType(attributes))


def attribute_to_proto(value: AttributeValue) -> graph_pb2.Attribute:
    if isinstance(value, bool):  # before int: a bool is one
        return graph_pb2.Attribute(bool=value)
    if isinstance(value, int):
        return graph_pb2.Attribute(int=value)
    if isinstance(value, float):
        return graph_pb2.Attribute(float=value)
    if isinstance(value, str):
        return graph_pb2.Attribute(text=value)
    return graph_pb2.Attribute(ints=graph_pb2.IntList(values=value))


def attribute_from_proto(node: str, name: str, message: graph_pb2.Attribute) -> AttributeValue:
    """Of attribute or argument `name` at `node`. Raises: InvalidGraph (BAD_ATTRIBUTE)."""
    match message.WhichOneof("value"):
        case "int":
            return message.int
        case "float":
            return message.float
        case "bool":
            return message.bool
        case "text":
            return message.text
        case "ints":
            return tuple(message.ints.values)
        case _:
            raise InvalidGraph(node, "BAD_ATTRIBUTE", f"{name} has no value")
