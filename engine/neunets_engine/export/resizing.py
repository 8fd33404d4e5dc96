"""Images of any size, resized inside the ONNX file as training did it: as two products with matrices of weights.

The operator Resize has no antialiasing before opset 18, and none that rounds between its passes as Pillow does. Here
the weights of Pillow's bilinear filter follow from the size of the image, in operators that every runtime has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import TensorProto

from neunets.preprocessing import Fit, Preprocessing
from neunets_engine.export.body import Body

__all__ = ["COLOURS", "PREFIX", "RESIZED", "SOURCE", "resize"]

SOURCE: Final = "image"
PREFIX: Final = f"{SOURCE}:resize."  # of every tensor, constant and node that is written here
RESIZED: Final = f"{SOURCE}:resized"
# Of red, green and blue in a grey, as Pillow's: (19595 R + 38470 G + 7471 B) / 65536, ITU-R 601.
GREY: Final = (19595.0, 38470.0, 7471.0)
GREY_UNIT: Final = 65536.0
COLOURS: Final = (1, 3)  # channels between which an image is converted


@dataclass(frozen=True, slots=True)
class _Axis:
    """Tensors of one float32 each: `extent` pixels from `begin` on become `size` pixels from `corner` on."""

    pixels: str  # of the image
    begin: str
    extent: str
    size: str
    corner: str


def resize(body: Body, wanted: Preprocessing) -> str:
    """From "image" (N, H, W, C) uint8 of any size to `wanted`, float32 of whole numbers. Returns: the tensor.

    Of 1 or 3 wanted channels, C may be 1 (grey), 2 (with alpha), 3 (red, green, blue) or 4 (with alpha).
    """
    writer = _Writer(body)
    x = writer.add("Cast", [SOURCE], "float", to=TensorProto.FLOAT)
    if wanted.channels in COLOURS:
        x = _in_colours(writer, x, wanted)
    x = writer.add("Transpose", [x], "planes", perm=[0, 3, 1, 2])
    across, down = _axes(writer, wanted)
    columns = writer.add("Transpose", [_weights(writer, "columns", across, wanted.width, wanted.fit)], "across")
    x = _rounded(writer, writer.add("MatMul", [x, columns], "narrow"), "narrow")
    rows = _weights(writer, "rows", down, wanted.height, wanted.fit)
    x = _rounded(writer, writer.add("MatMul", [rows, x], "small"), "small")
    body.write("Transpose", [x], RESIZED, RESIZED, perm=[0, 2, 3, 1])
    return RESIZED


@dataclass(frozen=True, slots=True)
class _Side:
    """An axis of the image and the other one, tensors of one int64 each."""

    pixels: str
    other: str
    product: str  # `pixels` times `other_wanted`
    crossed: str  # `other` times `wanted`
    is_short: str  # bool: the image is relatively shorter on this axis, where padding puts bars
    wanted: int
    other_wanted: int


class _Writer:
    """Nodes and constants whose names begin with `PREFIX`."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def add(self, operator: str, inputs: list[str], step: str, **attributes: object) -> str:
        tensor = PREFIX + step
        self._body.write(operator, inputs, tensor, tensor, **attributes)
        return tensor

    def number(self, value: float) -> str:
        return self._body.constant(f"{PREFIX}constant.{value:.9g}", np.array(value, np.float32))

    def numbers(self, name: str, values: list[float], *shape: int) -> str:
        return self._body.constant(PREFIX + name, np.array(values, np.float32).reshape(shape or (len(values),)))

    def integers(self, *values: int) -> str:
        return self._body.integers(f"{PREFIX}integers.{'_'.join(map(str, values))}", values)


def _in_colours(writer: _Writer, x: str, wanted: Preprocessing) -> str:
    """(N, H, W, C) as the number of channels that is wanted, over the background, rounded."""
    channels = writer.add("Shape", [SOURCE], "channels", start=3, end=4)
    has_colours = writer.add("GreaterOrEqual", [channels, writer.integers(3)], "has_colours")
    is_colour = writer.add("Cast", [has_colours], "is_colour", to=TensorProto.INT64)
    places = writer.add("Mul", [writer.integers(0, 1, 2), is_colour], "places")
    colours = writer.add("Gather", [x, places], "colours", axis=3)
    odd = writer.add("Mod", [channels, writer.integers(2)], "odd")
    has_alpha = writer.add("Equal", [odd, writer.integers(0)], "has_alpha")
    last = writer.add("Sub", [channels, writer.integers(1)], "last")
    share = writer.add("Div", [writer.add("Gather", [x, last], "alpha", axis=3), writer.number(255.0)], "share")
    opacity = writer.add("Where", [has_alpha, share, writer.number(1.0)], "opacity")
    behind = writer.add("Sub", [writer.number(1.0), opacity], "transparency")
    background = writer.numbers("background", [float(value) for value in wanted.background], 1, 1, 1, 3)
    seen = [writer.add("Mul", [colours, opacity], "front"), writer.add("Mul", [background, behind], "back")]
    x = _rounded(writer, writer.add("Add", seen, "flat"), "flat")
    if wanted.channels != 1:
        return x
    weighed = writer.add("MatMul", [x, writer.numbers("grey.shares", list(GREY), 3, 1)], "weighed")
    return _rounded(writer, writer.add("Div", [weighed, writer.number(GREY_UNIT)], "grey"), "grey")


def _rounded(writer: _Writer, x: str, step: str) -> str:
    """Half up, as Pillow does it; the operator Round goes to the even number."""
    return writer.add("Floor", [writer.add("Add", [x, writer.number(0.5)], f"{step}.half")], f"{step}.rounded")


def _axes(writer: _Writer, wanted: Preprocessing) -> tuple[_Axis, _Axis]:
    """Across and down, as `Preprocessing.placement` has them."""
    width = writer.add("Shape", [SOURCE], "width", start=2, end=3)
    height = writer.add("Shape", [SOURCE], "height", start=1, end=2)
    if wanted.fit is Fit.STRETCH:
        return _whole(writer, width, wanted.width), _whole(writer, height, wanted.height)
    by_width = writer.add("Mul", [width, writer.integers(wanted.height)], "by_width")
    by_height = writer.add("Mul", [height, writer.integers(wanted.width)], "by_height")
    is_wider = writer.add("Greater", [by_width, by_height], "is_wider")
    is_higher = writer.add("Not", [is_wider], "is_higher")
    make = _padded if wanted.fit is Fit.PAD else _cropped
    across = _Side(width, height, by_width, by_height, is_higher, wanted.width, wanted.height)
    down = _Side(height, width, by_height, by_width, is_wider, wanted.height, wanted.width)
    return make(writer, "across", across), make(writer, "down", down)


def _float(writer: _Writer, x: str) -> str:
    return writer.add("Cast", [x], f"{x.removeprefix(PREFIX)}.float", to=TensorProto.FLOAT)


def _whole(writer: _Writer, pixels: str, size: int) -> _Axis:
    whole = _float(writer, pixels)
    return _Axis(whole, writer.number(0.0), whole, writer.number(float(size)), writer.number(0.0))


def _padded(writer: _Writer, name: str, side: _Side) -> _Axis:
    twice = writer.add("Mul", [side.product, writer.integers(2)], f"{name}.twice")
    up = writer.add("Add", [twice, side.other], f"{name}.up")
    whole_part = writer.add(
        "Div", [up, writer.add("Mul", [side.other, writer.integers(2)], f"{name}.by")], f"{name}.div"
    )
    short = writer.add("Max", [whole_part, writer.integers(1)], f"{name}.short")
    size = writer.add("Where", [side.is_short, short, writer.integers(side.wanted)], f"{name}.size")
    bars = writer.add("Sub", [writer.integers(side.wanted), size], f"{name}.bars")
    corner = writer.add("Div", [bars, writer.integers(2)], f"{name}.corner")
    whole = _float(writer, side.pixels)
    return _Axis(whole, writer.number(0.0), whole, _float(writer, size), _float(writer, corner))


def _cropped(writer: _Writer, name: str, side: _Side) -> _Axis:
    whole, product = _float(writer, side.pixels), _float(writer, side.crossed)
    part = writer.add("Div", [product, writer.number(float(side.other_wanted))], f"{name}.part")
    extent = writer.add("Where", [side.is_short, whole, part], f"{name}.extent")
    rest = writer.add("Sub", [whole, extent], f"{name}.rest")
    begin = writer.add("Mul", [rest, writer.number(0.5)], f"{name}.begin")
    return _Axis(whole, begin, extent, writer.number(float(side.wanted)), writer.number(0.0))


def _weights(writer: _Writer, name: str, axis: _Axis, size: int, fit: Fit) -> str:
    """(size, pixels of the image): what each of them adds to each that is wanted; the rows of bars are zero."""

    def add(operator: str, inputs: list[str], step: str, **attributes: object) -> str:
        return writer.add(operator, inputs, f"{name}.{step}", **attributes)

    one, zero, half = writer.number(1.0), writer.number(0.0), writer.number(0.5)
    place = add("Sub", [writer.numbers(f"{name}.places", list(map(float, range(size))), size, 1), axis.corner], "place")
    inner = add("Min", [add("Max", [place, zero], "above"), add("Sub", [axis.size, one], "most")], "inner")
    scale = add("Div", [axis.extent, axis.size], "scale")
    centre = add("Add", [add("Mul", [add("Add", [inner, half], "middle"), scale], "scaled"), axis.begin], "centre")
    count = add("Squeeze", [axis.pixels, writer.integers(0)], "count")
    pixel = add("Add", [add("Range", [zero, count, one], "range"), half], "pixel")
    distance = add("Abs", [add("Sub", [pixel, centre], "offset")], "distance")
    slope = add("Div", [distance, add("Max", [scale, one], "support")], "slope")
    raw = add("Relu", [add("Sub", [one, slope], "fall")], "raw")
    weights = add("Div", [raw, add("ReduceSum", [raw, writer.integers(1)], "sum", keepdims=1)], "weights")
    if fit is not Fit.PAD:
        return weights
    is_inside = add("Cast", [add("Equal", [place, inner], "is_inside")], "inside", to=TensorProto.FLOAT)
    return add("Mul", [weights, is_inside], "placed")
