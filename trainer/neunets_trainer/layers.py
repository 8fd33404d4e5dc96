"""One torch module for each operator of the IR. Values are (N, C, H, W), (N, C, L) or (N, F)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from neunets.graph import AttributeValue, Shape
from neunets.ops import same_padding

__all__ = ["LAYERS", "Site"]

CONVOLUTION: Final[Mapping[int, Callable[..., Tensor]]] = {1: F.conv1d, 2: F.conv2d}
MAX_POOL: Final[Mapping[int, Callable[..., Tensor]]] = {1: F.max_pool1d, 2: F.max_pool2d}
AVG_POOL: Final[Mapping[int, Callable[..., Tensor]]] = {1: F.avg_pool1d, 2: F.avg_pool2d}
FUNCTIONS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


@dataclass(frozen=True, slots=True)
class Site:
    """Where a layer stands: what its module is made from."""

    attributes: Mapping[str, AttributeValue]
    shapes: Sequence[Shape]  # of the inputs, channels first, without the batch
    weights: Mapping[str, Tensor]
    generator: torch.Generator  # of dropout
    overwrites: bool = False  # nobody needs the input after this layer, not even a gradient

    def integer(self, name: str) -> int:
        return int(self.number(name))

    def number(self, name: str) -> float:
        value = self.attributes[name]
        if not isinstance(value, int | float):
            raise TypeError(f"{name} is {value!r}, not a number")
        return value

    def parameter(self, name: str) -> nn.Parameter | None:
        return nn.Parameter(self.weights[name]) if name in self.weights else None

    def padding(self, kernel: int, stride: int, dilation: int) -> tuple[tuple[int, int], ...]:
        """(begin, end) of each spatial axis."""
        sizes = self.shapes[0][1:]
        if self.attributes["padding"] != "same":
            return tuple((0, 0) for _ in sizes)
        return tuple(same_padding(size, kernel, stride, dilation) for size in sizes)


def pad(x: Tensor, padding: Sequence[tuple[int, int]], value: float) -> Tensor:
    """Pad the spatial axes; torch wants the last axis first."""
    return F.pad(x, [amount for pair in reversed(padding) for amount in pair], value=value)


class Conv(nn.Module):
    def __init__(self, site: Site) -> None:
        super().__init__()
        self.weight = site.parameter("weight")
        self.bias = site.parameter("bias")
        self._groups = site.integer("groups")
        self._window = Window(site, site.integer("dilation"))

    def forward(self, x: Tensor) -> Tensor:
        return self._window.convolve(x, self.weight, self.bias, self._groups)


class SeparableConv(nn.Module):
    def __init__(self, site: Site) -> None:
        super().__init__()
        self.depthwise = site.parameter("depthwise")
        self.pointwise = site.parameter("pointwise")
        self.bias = site.parameter("bias")
        self._window = Window(site, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self._window.convolve(x, self.depthwise, None, x.shape[1])
        return CONVOLUTION[x.ndim - 2](x, self.pointwise, self.bias)


class Window:
    """A sliding window: padding that differs at the two ends is made before the convolution, the rest inside it."""

    def __init__(self, site: Site, dilation: int) -> None:
        self.kernel, self.dilation = site.integer("kernel"), dilation
        self.stride = site.integer("stride") or self.kernel  # a pool's stride of 0 is its kernel
        self.padding = site.padding(self.kernel, self.stride, dilation)
        self.is_symmetric = all(begin == end for begin, end in self.padding)

    def convolve(self, x: Tensor, weight: Tensor | None, bias: Tensor | None, groups: int) -> Tensor:
        inside = tuple(begin for begin, _ in self.padding) if self.is_symmetric else 0
        x = x if self.is_symmetric else pad(x, self.padding, 0.0)
        stride = self.stride
        if self.kernel == 1 and stride > 1 and x.device.type == "cpu":
            # oneDNN with AVX2 (3.13, its issue 6035) writes beyond its memory in this convolution's gradient.
            x, stride = AVG_POOL[x.ndim - 2](x, 1, stride), 1
        return CONVOLUTION[x.ndim - 2](
            x, weight, bias, stride=stride, padding=inside, dilation=self.dilation, groups=groups
        )


class MaxPool(nn.Module):
    def __init__(self, site: Site) -> None:
        super().__init__()
        self._window = Window(site, 1)

    def forward(self, x: Tensor) -> Tensor:
        window = self._window
        inside = tuple(begin for begin, _ in window.padding) if window.is_symmetric else 0
        x = x if window.is_symmetric else pad(x, window.padding, float("-inf"))
        return MAX_POOL[x.ndim - 2](x, window.kernel, window.stride, inside)


class AvgPool(nn.Module):
    """The mean over the part of the window that lies inside the input."""

    share: Tensor | None  # fraction of each window that lies inside; None: all of each

    def __init__(self, site: Site) -> None:
        super().__init__()
        self._window = Window(site, 1)
        share = None
        if any(sum(pair) for pair in self._window.padding):
            share = self._pool(torch.ones(1, 1, *site.shapes[0][1:]))
        self.register_buffer("share", share, persistent=False)

    def _pool(self, x: Tensor) -> Tensor:
        window = self._window
        return AVG_POOL[x.ndim - 2](pad(x, window.padding, 0.0), window.kernel, window.stride)

    def forward(self, x: Tensor) -> Tensor:
        return self._pool(x) if self.share is None else self._pool(x) / self.share.to(x.dtype)


class Linear(nn.Module):
    def __init__(self, site: Site) -> None:
        super().__init__()
        self.weight = nn.Parameter(site.weights["weight"])
        self.bias = site.parameter("bias")

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class BatchNorm(nn.Module):
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.weight = site.parameter("weight")
        self.bias = site.parameter("bias")
        self.register_buffer("running_mean", site.weights["running_mean"])
        self.register_buffer("running_var", site.weights["running_var"])
        self.momentum, self._epsilon = site.number("momentum"), site.number("epsilon")

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        return F.batch_norm(x, mean, variance, self.weight, self.bias, self.training, self.momentum, self._epsilon)


class Activation(nn.Module):
    def __init__(self, site: Site) -> None:
        super().__init__()
        name = str(site.attributes["function"])
        # A layer less in the cache: 1 to 8 % of a step of a small network.
        self._function = torch.relu_ if site.overwrites and name == "relu" else FUNCTIONS[name]

    def forward(self, x: Tensor) -> Tensor:
        return self._function(x)


class GlobalPool(nn.Module):
    def __init__(self, site: Site) -> None:
        super().__init__()
        self._is_max = site.attributes["function"] == "max"

    def forward(self, x: Tensor) -> Tensor:
        axes = tuple(range(2, x.ndim))
        return x.amax(axes) if self._is_max else x.mean(axes)


class Dropout(nn.Module):
    """Draws from the network's own generator, which is seeded at each step: a resumed training repeats the draws."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self._keep, self._generator = 1.0 - site.number("rate"), site.generator

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self._keep == 1.0:
            return x
        return x * torch.empty_like(x).bernoulli_(self._keep, generator=self._generator).div_(self._keep)


class Add(nn.Module):
    def __init__(self, site: Site) -> None:
        super().__init__()

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = first + other
        return first


class Concat(nn.Module):
    def __init__(self, site: Site) -> None:
        super().__init__()

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, dim=1)


class Flatten(nn.Module):
    """In channels-first order, whatever the order in memory."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self._size = prod(site.shapes[0])

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), self._size)


class Identity(nn.Module):
    def __init__(self, site: Site) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


LAYERS: Final[Mapping[str, Callable[[Site], nn.Module]]] = {
    "conv": Conv,
    "separable_conv": SeparableConv,
    "linear": Linear,
    "batch_norm": BatchNorm,
    "activation": Activation,
    "max_pool": MaxPool,
    "avg_pool": AvgPool,
    "global_pool": GlobalPool,
    "add": Add,
    "concat": Concat,
    "dropout": Dropout,
    "flatten": Flatten,
    "identity": Identity,
}
