"""What a network costs: parameters, operations, memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from neunets.graph import Graph, Shape
from neunets.machine import Precision
from neunets.ops import OPERATORS, Parameter, attributes_of, figures_of
from neunets.shapes import infer_shapes

__all__ = ["STEP_COST", "Cost", "cost", "parameters", "training_bytes"]

FLOAT_BYTES: Final = 4
# FLOPs of a training step, in those of evaluating its examples once.
STEP_COST: Final = 3.0
# Of the values of all nodes, what a training step holds at most, with what it needs to compute them: measured on a CPU
# with chains, residual and separable networks of 0.02 to 1.6 M parameters and batches of 64 and 256.
STEP_SHARE: Final[Mapping[Precision, float]] = {
    Precision.FLOAT32: 1.7,
    Precision.TENSOR_FLOAT32: 1.7,
    Precision.BFLOAT16: 1.05,
}
# An evaluation holds few values at a time, but in float32, and where its batch is the larger one, its values find no
# room in what steps have freed. In units of the largest value, with what its holes cost; measured likewise.
EVALUATION_ROWS: Final = 256
EVALUATION_VALUES: Final = 5.0
# Kernels that are built for a new network.
KERNEL_BYTES: Final = 16 << 20


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


def cost(graph: Graph, shapes: Mapping[str, Shape] | None = None) -> Cost:
    """`shapes`: as `infer_shapes` tells, where they are known. Raises: InvalidGraph."""
    shapes = infer_shapes(graph) if shapes is None else shapes
    figures = [figures_of(node, [shapes[name] for name in node.inputs]) for node in graph.nodes]
    flops, trainable = sum(each.flops for each in figures), sum(each.params for each in figures)
    return Cost(trainable, flops, FLOAT_BYTES * sum(math.prod(shape) for shape in shapes.values()))


def training_bytes(graph: Graph, batch: int, precision: Precision, averages: bool = False) -> int:
    """What a training needs beside its process and its data, about. Raises: InvalidGraph.

    `batch`: rows of one part, where a step is divided into parts; `averages`: a mean of the weights is kept, too.
    """
    shapes = infer_shapes(graph)
    price = cost(graph, shapes)
    copies = 3 + averages + 0.5 * (precision is Precision.BFLOAT16)  # weights, gradients, momenta
    step = STEP_SHARE[precision] * batch * price.activation_bytes
    largest = max(math.prod(shape) for shape in shapes.values())
    evaluation = EVALUATION_VALUES * EVALUATION_ROWS * FLOAT_BYTES * largest
    values = step + evaluation if batch < EVALUATION_ROWS else max(step, evaluation)
    return round(copies * FLOAT_BYTES * price.params + values) + KERNEL_BYTES
