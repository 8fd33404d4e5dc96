"""What a network costs: parameters, operations, memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neunets.graph import Graph
from neunets.ops import OPERATORS, Parameter, attributes_of
from neunets.shapes import infer_shapes

__all__ = ["Cost", "cost", "parameters"]

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """`params`: trainable ones. `flops`: one example, forward, a multiply-add is two.

    `activation_bytes`: the values of all nodes for one example, in float32: what a training step keeps.
    """

    params: int
    flops: int
    activation_bytes: int


def parameters(graph: Graph) -> dict[str, Parameter]:
    """Every array of the network by its key NODE.PARAM, in the order of the nodes. Raises: InvalidGraph."""
    shapes = infer_shapes(graph)
    return {
        f"{node.name}.{name}": parameter
        for node in graph.nodes
        for name, parameter in OPERATORS[node.op]
        .parameters(attributes_of(node), [shapes[source] for source in node.inputs])
        .items()
    }


def cost(graph: Graph) -> Cost:
    """Raises: InvalidGraph."""
    shapes = infer_shapes(graph)
    flops = 0
    for node in graph.nodes:
        inputs = [shapes[name] for name in node.inputs]
        flops += OPERATORS[node.op].flops(attributes_of(node), inputs, shapes[node.name])
    trainable = sum(parameter.size for parameter in parameters(graph).values() if parameter.trainable)
    return Cost(trainable, flops, FLOAT_BYTES * sum(math.prod(shape) for shape in shapes.values()))
