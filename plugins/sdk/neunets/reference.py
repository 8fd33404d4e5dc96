"""What every operator means, in slow NumPy: the oracle for trainer and exporter."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from neunets.cost import parameters
from neunets.graph import Graph
from neunets.ops import Attributes, Init, attributes_of, same_padding, window

__all__ = ["initialise", "run"]

Array = NDArray[Any]
Weights = Mapping[str, Array]
_erf = np.vectorize(math.erf, otypes=[float])


def run(graph: Graph, weights: Weights, x: Array, *, dtype: DTypeLike = np.float64) -> Array:
    """Logits (N, classes) of a valid graph for `x` (N, H, W, C) or (N, L, C) as stored; batch norm by its statistics.

    `weights`: keys NODE.PARAM. All arithmetic is in `dtype`.
    """
    mean, std = np.asarray(graph.input.mean, dtype), np.asarray(graph.input.std, dtype)
    values: dict[str, Array] = {graph.input.name: np.moveaxis((x.astype(dtype) - mean) / std, -1, 1)}
    for node in graph.nodes:
        prefix = f"{node.name}."
        own = {key[len(prefix) :]: np.asarray(w, dtype) for key, w in weights.items() if key.startswith(prefix)}
        inputs = [values[name] for name in node.inputs]
        values[node.name] = MEANING[node.op](attributes_of(node), own, inputs).astype(dtype)
    logits: Array = values[graph.output]
    return logits


def initialise(graph: Graph, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Fresh weights by their keys NODE.PARAM, each as the operator table says."""
    return {key: _initial(p.init, p.shape, p.fan_in, rng) for key, p in parameters(graph).items()}


def _initial(init: Init, shape: Sequence[int], fan_in: int, rng: np.random.Generator) -> NDArray[np.float32]:
    match init:
        case Init.ZERO:
            return np.zeros(shape, np.float32)
        case Init.ONE:
            return np.ones(shape, np.float32)
        case Init.FAN_IN:
            return (rng.standard_normal(shape) * math.sqrt(2.0 / fan_in)).astype(np.float32)


def _windows(attributes: Attributes, x: Array, fill: float) -> Array:
    """(N, C, *outputs, *taps): what each window sees; `fill` outside the input."""
    kernel, stride, dilation = window(attributes)
    axes = tuple(range(2, x.ndim))
    if attributes["padding"] == "same":
        pads = [same_padding(x.shape[axis], kernel, stride, dilation) for axis in axes]
        x = np.pad(x, [(0, 0), (0, 0), *pads], constant_values=fill)
    reach = (kernel - 1) * dilation + 1
    views = np.lib.stride_tricks.sliding_window_view(x, (reach,) * len(axes), axis=axes)
    steps = (slice(None, None, stride),) * len(axes)
    taps = (slice(None, None, dilation),) * len(axes)
    return views[(slice(None), slice(None), *steps, *taps)]


def _convolve(attributes: Attributes, weight: Array, x: Array, groups: int) -> Array:
    seen = _windows(attributes, x, 0.0)
    axes = x.ndim - 2
    parts = []
    for part, kernels in zip(np.split(seen, groups, axis=1), np.split(weight, groups, axis=0), strict=True):
        over_part = [1, *range(2 + axes, 2 + 2 * axes)]
        over_kernels = [1, *range(2, 2 + axes)]
        parts.append(np.moveaxis(np.tensordot(part, kernels, (over_part, over_kernels)), -1, 1))
    return np.concatenate(parts, axis=1)


def _across(channelwise: Array, x: Array) -> Array:
    """(C,) shaped to be combined with (N, C, ...)."""
    return channelwise.reshape((-1,) + (1,) * (x.ndim - 2))


def _biased(w: Weights, y: Array) -> Array:
    return y + _across(w["bias"], y) if "bias" in w else y


def _conv(a: Attributes, w: Weights, xs: Sequence[Array]) -> Array:
    groups = a["groups"]
    assert isinstance(groups, int)
    return _biased(w, _convolve(a, w["weight"], xs[0], groups))


def _separable_conv(a: Attributes, w: Weights, xs: Sequence[Array]) -> Array:
    depthwise = _convolve(a, w["depthwise"], xs[0], xs[0].shape[1])
    pointwise = w["pointwise"].reshape(w["pointwise"].shape[:2])
    return _biased(w, np.moveaxis(np.tensordot(depthwise, pointwise, ([1], [1])), -1, 1))


def _linear(a: Attributes, w: Weights, xs: Sequence[Array]) -> Array:
    return _biased(w, xs[0] @ w["weight"].T)


def _batch_norm(a: Attributes, w: Weights, xs: Sequence[Array]) -> Array:
    scale = w["weight"] / np.sqrt(w["running_var"] + a["epsilon"])
    return (xs[0] - _across(w["running_mean"], xs[0])) * _across(scale, xs[0]) + _across(w["bias"], xs[0])


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))  # does not overflow


FUNCTIONS: Final[Mapping[str, Callable[[Array], Array]]] = {
    "relu": lambda x: np.maximum(x, 0.0),
    "leaky_relu": lambda x: np.where(x > 0.0, x, 0.01 * x),
    "gelu": lambda x: 0.5 * x * (1.0 + _erf(x / math.sqrt(2.0))),
    "silu": lambda x: x * _sigmoid(x),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
}


def _activation(a: Attributes, w: Weights, xs: Sequence[Array]) -> Array:
    return FUNCTIONS[str(a["function"])](xs[0])


def _max_pool(a: Attributes, w: Weights, xs: Sequence[Array]) -> Array:
    seen = _windows(a, xs[0], -np.inf)
    largest: Array = seen.max(axis=tuple(range(xs[0].ndim, seen.ndim)))
    return largest


def _avg_pool(a: Attributes, w: Weights, xs: Sequence[Array]) -> Array:
    over = tuple(range(xs[0].ndim, 2 * xs[0].ndim - 2))
    inside = _windows(a, np.ones_like(xs[0]), 0.0).sum(axis=over)
    mean: Array = _windows(a, xs[0], 0.0).sum(axis=over) / inside
    return mean


def _global_pool(a: Attributes, w: Weights, xs: Sequence[Array]) -> Array:
    axes = tuple(range(2, xs[0].ndim))
    pooled: Array = xs[0].max(axis=axes) if a["function"] == "max" else xs[0].mean(axis=axes)
    return pooled


def _same(a: Attributes, w: Weights, xs: Sequence[Array]) -> Array:
    return xs[0]


MEANING: Final[Mapping[str, Callable[[Attributes, Weights, Sequence[Array]], Array]]] = {
    "conv": _conv,
    "separable_conv": _separable_conv,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "activation": _activation,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "global_pool": _global_pool,
    "add": lambda a, w, xs: np.sum(np.stack(xs), axis=0),
    "concat": lambda a, w, xs: np.concatenate(xs, axis=1),
    "dropout": _same,
    "flatten": lambda a, w, xs: xs[0].reshape(len(xs[0]), -1),
    "identity": _same,
}
