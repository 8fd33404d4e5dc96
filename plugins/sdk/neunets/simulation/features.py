"""What a network and its training are like, in numbers that tell how accurate it gets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from neunets.cost import cost
from neunets.graph import Graph, Node
from neunets.hyperparameters import HYPERPARAMETERS
from neunets.ops import attributes_of
from neunets.shapes import infer_shapes

__all__ = ["FEATURES", "TRAINING", "features"]

Array = NDArray[np.float64]

# Of a recipe; those that differ by factors count by their logarithms.
TRAINING: Final = (
    "learning_rate",
    "weight_decay",
    "momentum",
    "batch_size",
    "label_smoothing",
    "averaging",
    "shift",
    "cutout",
    "mirror",
)
LOGARITHMIC: Final = frozenset({"learning_rate", "weight_decay", "batch_size"})
NETWORK: Final = (
    "log_params",
    "log_flops",
    "depth",
    "convolutions",
    "depthwise_share",
    "kernel",
    "log_widest",
    "pools",
    "log_last_extent",
    "norms_share",
    "adds",
    "concats",
    "dropouts",
    "units",
)
FEATURES: Final = (*NETWORK, *TRAINING)
CONVOLUTIONS: Final = frozenset({"conv", "separable_conv"})
WEIGHTED: Final = CONVOLUTIONS | {"linear"}
POOLS: Final = frozenset({"max_pool", "avg_pool"})
SMALLEST: Final = 1e-12


def features(graph: Graph, recipe: Mapping[str, float]) -> Array:
    """(F,) as `FEATURES` names them. `recipe`: values by field; of what it lacks, the usual ones.

    Raises: InvalidGraph.
    """
    shapes = infer_shapes(graph)
    price = cost(graph, shapes)
    kinds = Counter(node.op for node in graph.nodes)
    slid = [node for node in graph.nodes if node.op in CONVOLUTIONS]
    maps = [shapes[node.name] for node in slid] or [shapes[graph.input.name]]
    network = (
        math.log2(price.params),
        math.log2(price.flops),
        float(_depth(graph)),
        float(len(slid)),
        sum(map(_is_depthwise, slid)) / max(1, len(slid)),
        float(np.mean([_kernel(node) for node in slid])) if slid else 0.0,
        math.log2(max(shape[0] for shape in maps)),
        float(sum(kinds[kind] for kind in POOLS)),
        math.log2(max(1, min(maps[-1][1:], default=1))),
        kinds["batch_norm"] / max(1, len(slid)),
        float(kinds["add"]),
        float(kinds["concat"]),
        float(kinds["dropout"]),
        float(kinds["linear"]),
    )
    return np.array([*network, *(_told(name, recipe) for name in TRAINING)])


def _told(name: str, recipe: Mapping[str, float]) -> float:
    value = float(recipe.get(name, HYPERPARAMETERS[name].usual))
    return math.log2(max(value, SMALLEST)) if name in LOGARITHMIC else value


def _depth(graph: Graph) -> int:
    """Layers with weights on the longest way from the input to the logits."""
    depths = {graph.input.name: 0}
    for node in graph.nodes:
        depths[node.name] = max(depths[name] for name in node.inputs) + (node.op in WEIGHTED)
    return depths[graph.output]


def _is_depthwise(node: Node) -> bool:
    """Or at least in groups."""
    return node.op == "separable_conv" or attributes_of(node)["groups"] != 1


def _kernel(node: Node) -> int:
    size = attributes_of(node)["kernel"]
    return max(size) if isinstance(size, tuple) else int(size)
