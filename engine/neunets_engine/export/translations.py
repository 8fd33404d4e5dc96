"""Every operator of the IR in ONNX's words. A translation writes nodes and returns the tensor of the values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from neunets.ops import same_padding, window
from neunets_engine.export.body import Body, Site

__all__ = ["TRANSLATIONS", "Translation"]

Translation: TypeAlias = Callable[[Body, Site], str]


def _window(site: Site) -> dict[str, list[int]]:
    """The attributes that ONNX's sliding windows share; pads: the beginnings of all axes, then the ends."""
    kernel, stride, dilation = window(site.attributes)
    sizes = site.shapes[0][1:]
    is_same = site.attributes["padding"] == "same"
    pads = [same_padding(size, kernel, stride, dilation) if is_same else (0, 0) for size in sizes]
    return {
        "kernel_shape": [kernel] * len(sizes),
        "strides": [stride] * len(sizes),
        "pads": [begin for begin, _ in pads] + [end for _, end in pads],
    }


def _conv(body: Body, site: Site) -> str:
    dilations = [site.integer("dilation")] * (len(site.shapes[0]) - 1)
    inputs = [*site.inputs, *body.weights(site, "weight", "bias")]
    groups = site.integer("groups")
    return body.add("Conv", inputs, site.name, group=groups, dilations=dilations, **_window(site))


def _separable_conv(body: Body, site: Site) -> str:
    inputs = [*site.inputs, *body.weights(site, "depthwise")]
    channels = site.shapes[0][0]
    depthwise = body.add("Conv", inputs, site.name, "depthwise", group=channels, **_window(site))
    kernel = [1] * (len(site.shapes[0]) - 1)  # follows from the weights, but OpenCV 4 wants to be told
    return body.add("Conv", [depthwise, *body.weights(site, "pointwise", "bias")], site.name, kernel_shape=kernel)


def _linear(body: Body, site: Site) -> str:
    return body.add("Gemm", [*site.inputs, *body.weights(site, "weight", "bias")], site.name, transB=1)


def _batch_norm(body: Body, site: Site) -> str:
    inputs = [*site.inputs, *body.weights(site, "weight", "bias", "running_mean", "running_var")]
    return body.add("BatchNormalization", inputs, site.name, epsilon=site.number("epsilon"))


def _simple(operator: str, **attributes: float) -> Translation:
    """One ONNX operator, whatever the node says."""
    return lambda body, site: body.add(operator, site.inputs, site.name, **attributes)


def _silu(body: Body, site: Site) -> str:
    gate = body.add("Sigmoid", site.inputs, site.name, "sigmoid")
    return body.add("Mul", [*site.inputs, gate], site.name)


def _gelu(body: Body, site: Site) -> str:
    """x (1 + erf(x / sqrt 2)) / 2; ONNX has an operator for it only from opset 20 on."""
    scaled = body.add("Div", [*site.inputs, body.scalar(math.sqrt(2.0))], site.name, "scaled")
    erf = body.add("Erf", [scaled], site.name, "erf")
    gate = body.add("Add", [erf, body.scalar(1.0)], site.name, "gate")
    gated = body.add("Mul", [*site.inputs, gate], site.name, "gated")
    return body.add("Mul", [gated, body.scalar(0.5)], site.name)


FUNCTIONS: Final[Mapping[str, Translation]] = {
    "relu": _simple("Relu"),
    "leaky_relu": _simple("LeakyRelu", alpha=0.01),
    "gelu": _gelu,
    "silu": _silu,
    "tanh": _simple("Tanh"),
    "sigmoid": _simple("Sigmoid"),
}


def _activation(body: Body, site: Site) -> str:
    return FUNCTIONS[str(site.attributes["function"])](body, site)


def _max_pool(body: Body, site: Site) -> str:
    return body.add("MaxPool", site.inputs, site.name, **_window(site))


def _avg_pool(body: Body, site: Site) -> str:
    return body.add("AveragePool", site.inputs, site.name, count_include_pad=0, **_window(site))


def _global_pool(body: Body, site: Site) -> str:
    operator = {"avg": "GlobalAveragePool", "max": "GlobalMaxPool"}[str(site.attributes["function"])]
    return body.add("Flatten", [body.add(operator, site.inputs, site.name, "pool")], site.name, axis=1)


def _add(body: Body, site: Site) -> str:
    # Runtimes fuse Add with the convolution before it, but not Sum.
    return body.add("Add" if len(site.inputs) == 2 else "Sum", site.inputs, site.name)


def _vanish(body: Body, site: Site) -> str:
    return site.inputs[0]


TRANSLATIONS: Final[Mapping[str, Translation]] = {
    "conv": _conv,
    "separable_conv": _separable_conv,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "activation": _activation,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "global_pool": _global_pool,
    "add": _add,
    "concat": _simple("Concat", axis=1),
    "dropout": _vanish,
    "flatten": _simple("Flatten", axis=1),
    "identity": _vanish,
}
