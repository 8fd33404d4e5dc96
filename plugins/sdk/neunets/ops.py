"""The one table of operators: what a node may say, and what it costs.

Validation, shape inference, cost, the trainer's builder, the exporter and the plugins read it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TypeAlias

from neunets.errors import InvalidGraph
from neunets.graph import AttributeValue, Node, Shape

__all__ = [
    "LARGEST",
    "OPERATORS",
    "REMEMBERED",
    "Attribute",
    "Attributes",
    "Figures",
    "Given",
    "Init",
    "Operator",
    "Parameter",
    "attributes_of",
    "figures_of",
    "given_by",
    "same_padding",
    "spatial",
    "window",
]

Attributes: TypeAlias = Mapping[str, AttributeValue]
# Attributes as a key, with their types: 1, 1.0 and True are equal, and three values.
Given: TypeAlias = tuple[tuple[str, type, AttributeValue], ...]

# More than that of anything is a slip, and would only run into the memory's end later.
LARGEST: Final = 10**9
# A search proposes the same few kinds of nodes again and again.
REMEMBERED: Final = 1 << 14


class Init(Enum):
    """How a parameter starts."""

    FAN_IN = "fan_in"  # normal, variance 2 / fan-in: He et al., arXiv:1502.01852, eq. 10
    ZERO = "zero"
    ONE = "one"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One array of a node. `fan_in`: inputs that one output sums over."""

    shape: Shape
    init: Init
    trainable: bool = True
    fan_in: int = 0

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Attribute:
    """What values an attribute may have. Without a default it has to be given."""

    kind: type[int] | type[float] | type[bool] | type[str]
    default: AttributeValue | None = None
    low: float = 1
    high: float = LARGEST
    choices: tuple[str, ...] = ()

    def fault(self, value: AttributeValue) -> str | None:
        """Why `value` is refused; None: it is fine."""
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not self.kind:
            return f"{value!r} is not of type {self.kind.__name__}"
        if isinstance(value, str):
            return None if value in self.choices else f"{value!r} is none of {', '.join(self.choices)}"
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        inside = math.isfinite(value) and self.low <= value <= self.high
        return None if inside else f"{value} is not within {self.low:g}..{self.high:g}"


@dataclass(frozen=True, slots=True)
class Operator:
    """Shapes are channels first, without the batch.

    `shape(attributes, inputs)` raises `ValueError` with a sentence where the inputs do not fit;
    `parameters` and `flops` may rely on fitting ones. FLOPs: one example, forward; a multiply-add counts as two.
    """

    name: str
    summary: str
    attributes: Mapping[str, Attribute]
    inputs: tuple[int, int]  # fewest, most
    shape: Callable[[Attributes, Sequence[Shape]], Shape]
    parameters: Callable[[Attributes, Sequence[Shape]], Mapping[str, Parameter]]
    flops: Callable[[Attributes, Sequence[Shape], Shape], int]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of a node and the shapes that it reads. `largest`: values of the largest of its output and its parameters."""

    shape: Shape
    largest: int
    params: int  # trainable ones
    flops: int  # as `Operator.flops`


def given_by(node: Node) -> Given:
    return tuple((name, type(value), value) for name, value in node.attributes.items())


def attributes_of(node: Node) -> Attributes:
    """All attributes of a node, defaults filled in. Raises: InvalidGraph (UNKNOWN_OP, BAD_ATTRIBUTE)."""
    try:
        return _attributes(node.op, given_by(node))
    except InvalidGraph as error:
        raise InvalidGraph(node.name, error.rule, error.text) from None


def figures_of(node: Node, inputs: Sequence[Shape]) -> Figures:
    """Raises: InvalidGraph (UNKNOWN_OP, BAD_ATTRIBUTE, BAD_SHAPE)."""
    try:
        return _figures(node.op, given_by(node), tuple(inputs))
    except InvalidGraph as error:
        raise InvalidGraph(node.name, error.rule, error.text) from None
    except ValueError as error:
        raise InvalidGraph(node.name, "BAD_SHAPE", str(error)) from error


@lru_cache(REMEMBERED)
def _attributes(op: str, given: Given) -> Attributes:
    operator, values = OPERATORS.get(op), {name: value for name, _, value in given}
    if operator is None:
        raise InvalidGraph("", "UNKNOWN_OP", f"no operator {op!r}: there is {', '.join(OPERATORS)}")
    unknown = sorted(set(values) - set(operator.attributes))
    if unknown:
        known = ", ".join(operator.attributes) or "none"
        raise InvalidGraph("", "BAD_ATTRIBUTE", f"{op} has no attribute {unknown[0]!r}: it has {known}")
    complete: dict[str, AttributeValue] = {}
    for name, rule in operator.attributes.items():
        value = values.get(name, rule.default)
        if value is None:
            raise InvalidGraph("", "BAD_ATTRIBUTE", f"{op} needs the attribute {name!r}")
        fault = rule.fault(value)
        if fault:
            raise InvalidGraph("", "BAD_ATTRIBUTE", f"{name} = {fault}")
        complete[name] = float(value) if rule.kind is float and isinstance(value, int) else value
    return MappingProxyType(complete)


@lru_cache(REMEMBERED)
def _figures(op: str, given: Given, inputs: tuple[Shape, ...]) -> Figures:
    attributes, operator = _attributes(op, given), OPERATORS[op]
    shape = operator.shape(attributes, inputs)
    parameters = operator.parameters(attributes, inputs).values()
    return Figures(
        shape,
        max(math.prod(shape), *(each.size for each in parameters), 0),
        sum(each.size for each in parameters if each.trainable),
        operator.flops(attributes, inputs, shape),
    )


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """(begin, end) of one axis, so that ceil(size / stride) windows fit: ONNX's SAME_UPPER."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def window(attributes: Attributes) -> tuple[int, int, int]:
    """(kernel, stride, dilation) of a node that slides one; a pool's stride of 0 is its kernel."""
    kernel = _int(attributes, "kernel")
    return kernel, _int(attributes, "stride") or kernel, _int(attributes, "dilation") if "dilation" in attributes else 1


def spatial(attributes: Attributes, sizes: Shape) -> Shape:
    """Extents after a sliding window. Raises: ValueError where it does not fit."""
    kernel, stride, dilation = window(attributes)
    if attributes["padding"] == "same":
        return tuple(-(-size // stride) for size in sizes)
    reach = (kernel - 1) * dilation + 1
    if min(sizes) < reach:
        raise ValueError(f"a window of {reach} does not fit into {_text(sizes)}")
    return tuple((size - reach) // stride + 1 for size in sizes)


def _int(attributes: Attributes, name: str) -> int:
    value = attributes[name]
    assert isinstance(value, int), name
    return value


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _image(inputs: Sequence[Shape]) -> Shape:
    if len(inputs[0]) not in (2, 3):
        raise ValueError(f"it needs (C, H, W) or (C, L), its input is a vector of {_text(inputs[0])}")
    return inputs[0]


def _vector(inputs: Sequence[Shape]) -> Shape:
    if len(inputs[0]) != 1:
        raise ValueError(f"it needs a vector, its input is {_text(inputs[0])}: flatten or pool it first")
    return inputs[0]


def _unchanged(attributes: Attributes, inputs: Sequence[Shape]) -> Shape:
    return inputs[0]


def _no_parameters(attributes: Attributes, inputs: Sequence[Shape]) -> Mapping[str, Parameter]:
    return {}


def _a_value(cost: int) -> Callable[[Attributes, Sequence[Shape], Shape], int]:
    """So many operations for each value of the output."""
    return lambda attributes, inputs, output: cost * math.prod(output)


def _conv_shape(attributes: Attributes, inputs: Sequence[Shape]) -> Shape:
    channels, *sizes = _image(inputs)
    groups = _int(attributes, "groups")
    if channels % groups or _int(attributes, "channels") % groups:
        raise ValueError(f"{channels} input and {attributes['channels']} output channels do not divide by {groups}")
    return (_int(attributes, "channels"), *spatial(attributes, tuple(sizes)))


def _conv_parameters(attributes: Attributes, inputs: Sequence[Shape]) -> Mapping[str, Parameter]:
    channels, *sizes = inputs[0]
    taps = (_int(attributes, "kernel"),) * len(sizes)
    inner = channels // _int(attributes, "groups")
    fan_in = inner * math.prod(taps)
    weight = Parameter((_int(attributes, "channels"), inner, *taps), Init.FAN_IN, fan_in=fan_in)
    return {"weight": weight, **_bias(attributes, _int(attributes, "channels"))}


def _conv_flops(attributes: Attributes, inputs: Sequence[Shape], output: Shape) -> int:
    per_value = 2 * _conv_parameters(attributes, inputs)["weight"].fan_in + int(bool(attributes["bias"]))
    values: int = math.prod(output)
    return per_value * values


def _bias(attributes: Attributes, size: int) -> dict[str, Parameter]:
    return {"bias": Parameter((size,), Init.ZERO)} if attributes["bias"] else {}


def _separable_shape(attributes: Attributes, inputs: Sequence[Shape]) -> Shape:
    return (_int(attributes, "channels"), *spatial(attributes, _image(inputs)[1:]))


def _separable_parameters(attributes: Attributes, inputs: Sequence[Shape]) -> Mapping[str, Parameter]:
    channels, *sizes = inputs[0]
    taps = (_int(attributes, "kernel"),) * len(sizes)
    ones = (1,) * len(sizes)
    outputs = _int(attributes, "channels")
    return {
        "depthwise": Parameter((channels, 1, *taps), Init.FAN_IN, fan_in=math.prod(taps)),
        "pointwise": Parameter((outputs, channels, *ones), Init.FAN_IN, fan_in=channels),
        **_bias(attributes, outputs),
    }


def _separable_flops(attributes: Attributes, inputs: Sequence[Shape], output: Shape) -> int:
    channels, taps = inputs[0][0], math.prod((_int(attributes, "kernel"),) * (len(inputs[0]) - 1))
    positions: int = math.prod(output[1:])
    return (2 * channels * taps + (2 * channels + bool(attributes["bias"])) * output[0]) * positions


def _linear_shape(attributes: Attributes, inputs: Sequence[Shape]) -> Shape:
    _vector(inputs)
    return (_int(attributes, "units"),)


def _linear_parameters(attributes: Attributes, inputs: Sequence[Shape]) -> Mapping[str, Parameter]:
    units, size = _int(attributes, "units"), inputs[0][0]
    return {"weight": Parameter((units, size), Init.FAN_IN, fan_in=size), **_bias(attributes, units)}


def _linear_flops(attributes: Attributes, inputs: Sequence[Shape], output: Shape) -> int:
    return (2 * inputs[0][0] + bool(attributes["bias"])) * output[0]


def _norm_parameters(attributes: Attributes, inputs: Sequence[Shape]) -> Mapping[str, Parameter]:
    shape = (inputs[0][0],)
    return {
        "weight": Parameter(shape, Init.ONE),
        "bias": Parameter(shape, Init.ZERO),
        "running_mean": Parameter(shape, Init.ZERO, trainable=False),
        "running_var": Parameter(shape, Init.ONE, trainable=False),
    }


def _pool_shape(attributes: Attributes, inputs: Sequence[Shape]) -> Shape:
    channels, *sizes = _image(inputs)
    return (channels, *spatial(attributes, tuple(sizes)))


def _pool_flops(attributes: Attributes, inputs: Sequence[Shape], output: Shape) -> int:
    taps: int = math.prod((_int(attributes, "kernel"),) * (len(output) - 1))
    return taps * math.prod(output)


def _global_shape(attributes: Attributes, inputs: Sequence[Shape]) -> Shape:
    return _image(inputs)[:1]


def _add_shape(attributes: Attributes, inputs: Sequence[Shape]) -> Shape:
    if len(set(inputs)) > 1:
        raise ValueError(f"its inputs differ: {' and '.join(map(_text, inputs))}")
    return inputs[0]


def _concat_shape(attributes: Attributes, inputs: Sequence[Shape]) -> Shape:
    if len({shape[1:] for shape in inputs}) > 1 or len({len(shape) for shape in inputs}) > 1:
        raise ValueError(f"its inputs differ beside the channels: {' and '.join(map(_text, inputs))}")
    return (sum(shape[0] for shape in inputs), *inputs[0][1:])


_PADDING: Final = ("same", "valid")
_WINDOW: Final = {
    "kernel": Attribute(int, high=1024),
    "stride": Attribute(int, 1, high=1024),
    "padding": Attribute(str, "same", choices=_PADDING),
}
_POOL: Final = {
    "kernel": Attribute(int, high=1024),
    "stride": Attribute(int, 0, low=0, high=1024),
    "padding": Attribute(str, "valid", choices=_PADDING),
}

_TABLE: Final = (
    Operator(
        "conv",
        "Convolution over all spatial axes, 1-D or 2-D by its input.",
        {
            "channels": Attribute(int),
            **_WINDOW,
            "groups": Attribute(int, 1),
            "dilation": Attribute(int, 1, high=1024),
            "bias": Attribute(bool, False),
        },
        (1, 1),
        _conv_shape,
        _conv_parameters,
        _conv_flops,
    ),
    Operator(
        "separable_conv",
        "Depthwise convolution, then a pointwise one: one layer.",
        {"channels": Attribute(int), **_WINDOW, "bias": Attribute(bool, False)},
        (1, 1),
        _separable_shape,
        _separable_parameters,
        _separable_flops,
    ),
    Operator(
        "linear",
        "Matrix product of a vector.",
        {"units": Attribute(int), "bias": Attribute(bool, True)},
        (1, 1),
        _linear_shape,
        _linear_parameters,
        _linear_flops,
    ),
    Operator(
        "batch_norm",
        "Normalisation of each channel over the batch, then scale and shift.",
        {"epsilon": Attribute(float, 1e-5, low=1e-12, high=1.0), "momentum": Attribute(float, 0.1, low=0.0, high=1.0)},
        (1, 1),
        _unchanged,
        _norm_parameters,
        _a_value(4),
    ),
    Operator(
        "activation",
        "A function of each value; gelu is exact (erf), leaky_relu has the slope 0.01.",
        {"function": Attribute(str, choices=("relu", "leaky_relu", "gelu", "silu", "tanh", "sigmoid"))},
        (1, 1),
        _unchanged,
        _no_parameters,
        _a_value(1),
    ),
    Operator("max_pool", "Maximum of each window.", _POOL, (1, 1), _pool_shape, _no_parameters, _pool_flops),
    Operator(
        "avg_pool",
        "Mean of the part of each window that lies inside the input.",
        _POOL,
        (1, 1),
        _pool_shape,
        _no_parameters,
        _pool_flops,
    ),
    Operator(
        "global_pool",
        "Mean or maximum of each channel over all positions.",
        {"function": Attribute(str, choices=("avg", "max"))},
        (1, 1),
        _global_shape,
        _no_parameters,
        lambda attributes, inputs, output: math.prod(inputs[0]),
    ),
    Operator("add", "Sum of equal shapes.", {}, (2, 64), _add_shape, _no_parameters, _a_value(1)),
    Operator("concat", "Along the channels.", {}, (2, 64), _concat_shape, _no_parameters, _a_value(0)),
    Operator(
        "dropout",
        "While training, each value is zero with probability `rate`, and the others are scaled up.",
        {"rate": Attribute(float, low=0.0, high=0.99)},
        (1, 1),
        _unchanged,
        _no_parameters,
        _a_value(0),
    ),
    Operator(
        "flatten",
        "A vector, in channels-first order.",
        {},
        (1, 1),
        lambda attributes, inputs: (math.prod(inputs[0]),),
        _no_parameters,
        _a_value(0),
    ),
    Operator("identity", "Its input.", {}, (1, 1), _unchanged, _no_parameters, _a_value(0)),
)

OPERATORS: Final[Mapping[str, Operator]] = {operator.name: operator for operator in _TABLE}
