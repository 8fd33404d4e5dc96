"""Batch norm with fixed statistics is an affine map: it goes into the layer before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from neunets.graph import Graph, Node
from neunets.ops import attributes_of

__all__ = ["fold_batch_norm"]

# The parameter whose first axis is the layer's outputs.
OUTER: Final[Mapping[str, str]] = {"conv": "weight", "separable_conv": "pointwise", "linear": "weight"}

Weights = dict[str, NDArray[np.float32]]


def fold_batch_norm(graph: Graph, weights: Mapping[str, NDArray[np.float32]]) -> tuple[Graph, Weights]:
    """The same function, in evaluation, with fewer operations.

    A batch norm becomes an `identity` where the layer before it is in `OUTER` and feeds nothing else; the layer has a
    bias then. Arithmetic is in float64, since the scale can be large where a variance is small.
    """
    nodes = {node.name: node for node in graph.nodes}
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    readers[graph.output] += 1
    folded: Weights = dict(weights)
    for norm in graph.nodes:
        layer = nodes.get(norm.inputs[0])
        if norm.op != "batch_norm" or layer is None or layer.op not in OUTER or readers[layer.name] > 1:
            continue
        _fold(layer, norm, folded)
        nodes[layer.name] = replace(layer, attributes={**layer.attributes, "bias": True})
        nodes[norm.name] = Node(norm.name, "identity", norm.inputs)
    return replace(graph, nodes=tuple(nodes.values())), folded


def _fold(layer: Node, norm: Node, weights: Weights) -> None:
    gamma, beta, mean, variance = (
        weights.pop(f"{norm.name}.{key}").astype(np.float64)
        for key in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + float(str(attributes_of(norm)["epsilon"])))
    outer = f"{layer.name}.{OUTER[layer.op]}"
    kernels = weights[outer].astype(np.float64)
    bias = weights.get(f"{layer.name}.bias", np.zeros(len(scale), np.float32)).astype(np.float64)
    weights[outer] = (kernels * scale.reshape((-1,) + (1,) * (kernels.ndim - 1))).astype(np.float32)
    weights[f"{layer.name}.bias"] = ((bias - mean) * scale + beta).astype(np.float32)
