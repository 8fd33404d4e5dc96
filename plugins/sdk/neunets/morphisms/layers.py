"""New layers that keep the shape of their input, and the weights with which they pass it on."""

from __future__ import annotations

from types import EllipsisType
from typing import Any, Final

import numpy as np

from neunets.errors import InvalidGraph
from neunets.graph import AttributeValue, Node, Shape
from neunets.morphisms.morphism import Array, Weights
from neunets.morphisms.taps import padded_before, unseen_taps
from neunets.ops import Attribute, attributes_of

__all__ = ["KERNEL", "LAYER", "MIXER", "identity_norm", "identity_weights", "layer_node"]

LAYER: Final = Attribute(str, "conv", choices=("conv", "depthwise_conv", "separable_conv", "linear"))
KERNEL: Final = Attribute(int, 3, high=1024)
# The parameter of an operator whose first axis is the layer's outputs.
MIXER: Final = {"conv": "weight", "separable_conv": "pointwise", "linear": "weight"}


def layer_node(name: str, layer: str, source: str, shape: Shape, kernel: int, bias: bool) -> Node:
    """A layer with outputs of the shape of `source`, which is `shape`; stride 1, padding 'same'.

    `kernel`: also an even one, whose padding is larger at the end; a linear layer has none.

    Raises: InvalidGraph at `source` (LAYER_SHAPE, KERNEL_UNSEEN).
    """
    if (len(shape) == 1) != (layer == "linear"):
        wants = "a vector" if layer == "linear" else "positions"
        raise InvalidGraph(source, "LAYER_SHAPE", f"{layer} needs {wants}, the value is {'x'.join(map(str, shape))}")
    if layer == "linear":
        return Node(name, "linear", (source,), {"units": shape[0], "bias": bias})
    attributes: dict[str, AttributeValue] = {"channels": shape[0], "kernel": kernel, "padding": "same", "bias": bias}
    if layer == "depthwise_conv":
        attributes["groups"] = shape[0]
    node = Node(name, "separable_conv" if layer == "separable_conv" else "conv", (source,), attributes)
    if any(unseen_taps(attributes_of(node), size) for size in shape[1:]):
        text = f"a kernel of {kernel} sees nothing but padding with some taps: the value is {'x'.join(map(str, shape))}"
        raise InvalidGraph(source, "KERNEL_UNSEEN", text)
    return node


def identity_weights(node: Node, shape: Shape, dtype: np.dtype[Any]) -> dict[str, Array]:
    """Of a `layer_node` that passes its input of `shape` on; keys are parameters without the node's name.

    A kernel is 0 but for the tap that looks at the output's own position, where it is the unit matrix; a depthwise one
    has a 1 there. (NeuNetS, eq. 7, sets a whole depthwise kernel to 1, which is an identity for one tap only.)
    """
    channels = shape[0]
    attributes = attributes_of(node)
    weights = {"bias": np.zeros(channels, dtype)} if attributes["bias"] else {}
    unit = np.eye(channels, dtype=dtype)
    if node.op == "linear":
        return {"weight": unit, **weights}
    axes = len(shape) - 1
    taps = (int(str(attributes["kernel"])),) * axes
    own: tuple[EllipsisType | int, ...] = (..., *(padded_before(attributes, size) for size in shape[1:]))
    depthwise = np.zeros((channels, 1, *taps), dtype)
    depthwise[own] = 1.0
    if node.op == "separable_conv":
        return {"depthwise": depthwise, "pointwise": unit.reshape(*unit.shape, *(1,) * axes), **weights}
    if attributes["groups"] == channels:
        return {"weight": depthwise, **weights}
    weight = np.zeros((channels, channels, *taps), dtype)
    weight[own] = unit
    return {"weight": weight, **weights}


def identity_norm(node: Node, channels: int, dtype: np.dtype[Any], values: Array | None) -> Weights:
    """Of a batch norm that undoes its own normalisation; keys without the node's name.

    `values`: (N, C, ...) that enter it. The running statistics are theirs, the scale is sqrt(variance + epsilon) and
    the shift the mean, as in Cai et al., arXiv:1707.04873 (its code), so that these values pass in training as well.
    Without values the statistics are 0 and 1: an identity in evaluation only.
    """
    mean, variance = np.zeros(channels, dtype), np.ones(channels, dtype)
    if values is not None:
        axes = (0, *range(2, values.ndim))
        mean, variance = values.mean(axes).astype(dtype), values.var(axes).astype(dtype)
    epsilon = float(str(attributes_of(node)["epsilon"]))
    scale = np.sqrt(variance.astype(np.float64) + epsilon).astype(dtype)
    return {"weight": scale, "bias": mean.copy(), "running_mean": mean, "running_var": variance}
