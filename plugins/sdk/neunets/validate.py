"""Every check of a graph that can be made without training it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from neunets.errors import InvalidGraph
from neunets.graph import DataType, Graph, Input, Shape
from neunets.shapes import infer_shapes

__all__ = ["validate"]

MOST_NODES: Final = 4096
LONGEST_NAME: Final = 256
LARGEST_EXTENT: Final = 1 << 20


def validate(
    graph: Graph,
    *,
    classes: int | None = None,
    input: Input | None = None,  # noqa: A002
) -> Mapping[str, Shape]:
    """Check a graph; `classes` and `input` are what the problem asks for. Returns: the shapes, as `infer_shapes`.

    Raises: InvalidGraph, which names the node and the rule: BAD_NAME, DUPLICATE_NAME, UNKNOWN_OP, BAD_ATTRIBUTE,
    BAD_ARITY, UNKNOWN_INPUT (cycles too), BAD_SHAPE, BAD_INPUT, BAD_OUTPUT, DEAD_NODE, TOO_LARGE.
    """
    _check_input(graph.input, input)
    _check_names(graph)
    shapes = infer_shapes(graph)
    if graph.output not in {node.name for node in graph.nodes}:
        raise InvalidGraph(graph.output, "BAD_OUTPUT", "the output is no node of the graph")
    shape = shapes[graph.output]
    if len(shape) != 1:
        raise InvalidGraph(graph.output, "BAD_OUTPUT", f"logits are a vector, not {shape}")
    if classes is not None and shape != (classes,):
        raise InvalidGraph(graph.output, "BAD_OUTPUT", f"{shape[0]} logits for {classes} classes")
    _check_use(graph)
    return shapes


def _check_input(given: Input, wanted: Input | None) -> None:
    if wanted is not None and given != wanted:
        raise InvalidGraph(given.name, "BAD_INPUT", f"the input has to be {wanted}")
    if not 2 <= len(given.shape) <= 3 or not all(1 <= extent <= LARGEST_EXTENT for extent in given.shape):
        raise InvalidGraph(given.name, "BAD_INPUT", f"{given.shape} is neither (H, W, C) nor (L, C)")
    channels = given.shape[-1]
    if len(given.mean) != channels or len(given.std) != channels:
        raise InvalidGraph(given.name, "BAD_INPUT", f"mean and std need {channels} numbers each")
    if not all(map(math.isfinite, (*given.mean, *given.std))) or min(given.std) <= 0.0:
        raise InvalidGraph(given.name, "BAD_INPUT", "mean and std have to be finite, std above 0")
    if len(given.shape) == 2 and given.dtype is DataType.UINT8:
        raise InvalidGraph(given.name, "BAD_INPUT", "a sequence is float32")


def _check_names(graph: Graph) -> None:
    if not graph.nodes:
        raise InvalidGraph("", "BAD_OUTPUT", "there is no node")
    if len(graph.nodes) > MOST_NODES:
        raise InvalidGraph("", "TOO_LARGE", f"{len(graph.nodes):,} nodes, at most {MOST_NODES:,}")
    seen: set[str] = set()
    for name in (graph.input.name, *(node.name for node in graph.nodes)):
        if not name or len(name.encode()) > LONGEST_NAME or not name.isprintable():
            raise InvalidGraph(name[:64], "BAD_NAME", f"a name has 1 to {LONGEST_NAME} bytes, all printable")
        if name in seen:
            raise InvalidGraph(name, "DUPLICATE_NAME", "the name is taken")
        seen.add(name)


def _check_use(graph: Graph) -> None:
    used = {graph.output}
    for node in reversed(graph.nodes):
        if node.name not in used:
            raise InvalidGraph(node.name, "DEAD_NODE", "the output does not depend on it: remove it")
        used.update(node.inputs)
    if graph.input.name not in used:
        raise InvalidGraph(graph.input.name, "DEAD_NODE", "the output does not depend on the input")
