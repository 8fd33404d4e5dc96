"""Images of any size, resized inside the ONNX file as training did it: as two products with matrices of weights.

The operator Resize has no antialiasing before opset 18, and none that rounds between its passes as Pillow does. Here
the weights of Pillow's bilinear filter follow from the size of the image. They are rounded to 22 bits, as Pillow's, and
multiplied in integers: in floats, ties were rounded otherwise now and then, and differed by two grey levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import DTypeLike
from onnx import TensorProto

from neunets.preprocessing import Fit, Preprocessing
from neunets_engine.export.body import Body

__all__ = ["COLOURS", "PREFIX", "RESIZED", "SOURCE", "resize"]

SOURCE: Final = "image"
PREFIX: Final = f"{SOURCE}:resize."  # of every tensor, constant and node that is written here
RESIZED: Final = f"{SOURCE}:resized"
# The weights of red, green and blue in a grey are Pillow's: (19595 R + 38470 G + 7471 B) / 65536, ITU-R 601.
GREY: Final = (19595, 38470, 7471)
GREY_UNIT: Final = 1 << 16
WEIGHT_UNIT: Final = 1 << 22  # what a weight of 1 is as an integer
BYTES: Final = (1 << 16, 1 << 8, 1)  # a weight is the sum of a byte times each of them
# Pillow divides by 255 in shifts: (m / 2 + 128 m) / 32768, each rounded down, of the value plus a half of 255.
HALF, SHIFTED, DIVISOR = 128, 128, 32768
COLOURS: Final = (1, 3)  # channels between which an image is converted
FEW: Final = 4  # numbers that a constant's name lists


@dataclass(frozen=True, slots=True)
class _Axis:
    """Tensors of one float64 each: `extent` pixels from `begin` on become `size` pixels from `corner` on."""

    pixels: str  # of the image
    begin: str
    extent: str
    size: str
    corner: str


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
    """Nodes and constants whose names begin with `PREFIX`, and with `name` where steps are repeated."""

    def __init__(self, body: Body, name: str = "") -> None:
        self._body = body
        self._name = name

    def under(self, name: str) -> _Writer:
        return _Writer(self._body, f"{name}.")

    def add(self, operator: str, inputs: list[str], step: str, **attributes: object) -> str:
        tensor = f"{PREFIX}{self._name}{step}"
        self._body.write(operator, inputs, tensor, tensor, **attributes)
        return tensor

    def cast(self, x: str, to: int, step: str) -> str:
        return self.add("Cast", [x], step, to=to)

    def constant(self, values: int | float | Sequence[float], dtype: DTypeLike = np.int64) -> str:
        """A scalar, or (n,)."""
        array = np.array(values, dtype)
        text = "_".join(f"{value:.9g}" for value in array.reshape(-1)) if array.size <= FEW else f"to_{array.size}"
        return self._body.array(f"{PREFIX}{array.dtype}.{array.ndim}.{text}", array)


def resize(body: Body, wanted: Preprocessing) -> str:
    """From "image" (N, H, W, C) uint8 of any size to `wanted`, uint8. Returns: the tensor.

    Of 1 or 3 wanted channels, C may be 1 (grey), 2 (with alpha), 3 (red, green, blue) or 4 (with alpha).
    """
    writer = _Writer(body)
    x = _in_colours(writer, wanted) if wanted.channels in COLOURS else SOURCE
    x = writer.add("Transpose", [x], "planes", perm=[0, 3, 1, 2])
    across, down = _axes(writer, wanted)
    columns, rows = writer.under("columns"), writer.under("rows")
    parts = _weights(columns, across, wanted.width, wanted.fit)
    turned = [columns.add("Transpose", [part], f"turned.{number}") for number, part in enumerate(parts)]
    x = _sum(columns, [[x, part] for part in turned])
    x = _sum(rows, [[part, x] for part in _weights(rows, down, wanted.height, wanted.fit)])
    body.write("Transpose", [x], RESIZED, RESIZED, perm=[0, 2, 3, 1])
    return RESIZED


def _in_colours(writer: _Writer, wanted: Preprocessing) -> str:
    """(N, H, W, C) uint8 as the number of channels that is wanted, over the background."""
    channels = writer.add("Shape", [SOURCE], "channels", start=3, end=4)
    has_colours = writer.add("GreaterOrEqual", [channels, writer.constant(3)], "has_colours")
    is_colour = writer.cast(has_colours, TensorProto.INT64, "is_colour")
    places = writer.add("Mul", [writer.constant([0, 1, 2]), is_colour], "places")
    colours = writer.cast(writer.add("Gather", [SOURCE, places], "chosen", axis=3), TensorProto.FLOAT, "colours")
    last = writer.add("Sub", [channels, writer.constant(1)], "last")
    alpha = writer.cast(writer.add("Gather", [SOURCE, last], "last_channel", axis=3), TensorProto.FLOAT, "alpha")
    odd = writer.add("Mod", [channels, writer.constant(2)], "odd")
    has_alpha = writer.add("Equal", [odd, writer.constant(0)], "has_alpha")
    opaque = writer.constant(255, np.float32)
    opacity = writer.add("Where", [has_alpha, alpha, opaque], "opacity")
    rest = writer.add("Sub", [opaque, opacity], "rest")
    front = writer.add("Mul", [colours, opacity], "front")
    back = writer.add("Mul", [rest, writer.constant(wanted.background, np.float32)], "back")
    value = writer.add("Add", [front, writer.add("Add", [back, writer.constant(HALF, np.float32)], "raised")], "value")
    half = writer.add("Floor", [writer.add("Mul", [value, writer.constant(0.5, np.float32)], "halved")], "half")
    shifted = writer.add(
        "Add", [half, writer.add("Mul", [value, writer.constant(SHIFTED, np.float32)], "up")], "shifted"
    )
    divided = writer.add("Mul", [shifted, writer.constant(1.0 / DIVISOR, np.float32)], "divided")
    x = writer.add("Floor", [divided], "flat")
    if wanted.channels == 1:
        shares = [share / GREY_UNIT for share in GREY]
        weighed = writer.add("Mul", [x, writer.constant(shares, np.float32)], "weighed")
        summed = writer.add("ReduceSum", [weighed, writer.constant([3])], "summed", keepdims=1)
        x = writer.add("Floor", [writer.add("Add", [summed, writer.constant(0.5, np.float32)], "rounding")], "grey")
    return writer.cast(x, TensorProto.UINT8, "pixels")


def _axes(writer: _Writer, wanted: Preprocessing) -> tuple[_Axis, _Axis]:
    """Across and down, as `Preprocessing.placement` has them."""
    width = writer.add("Shape", [SOURCE], "width", start=2, end=3)
    height = writer.add("Shape", [SOURCE], "height", start=1, end=2)
    by_width = writer.add("Mul", [width, writer.constant(wanted.height)], "by_width")
    by_height = writer.add("Mul", [height, writer.constant(wanted.width)], "by_height")
    is_wider = writer.add("Greater", [by_width, by_height], "is_wider")
    is_higher = writer.add("Not", [is_wider], "is_higher")
    across = _Side(width, height, by_width, by_height, is_higher, wanted.width, wanted.height)
    down = _Side(height, width, by_height, by_width, is_wider, wanted.height, wanted.width)
    make = {Fit.STRETCH: _stretched, Fit.PAD: _padded, Fit.CROP: _cropped}[wanted.fit]
    return make(writer.under("across"), across), make(writer.under("down"), down)


def _precise(writer: _Writer, x: str, step: str) -> str:
    return writer.cast(x, TensorProto.DOUBLE, step)


def _stretched(writer: _Writer, side: _Side) -> _Axis:
    whole, zero = _precise(writer, side.pixels, "whole"), writer.constant([0], np.float64)
    return _Axis(whole, zero, whole, writer.constant([side.wanted], np.float64), zero)


def _padded(writer: _Writer, side: _Side) -> _Axis:
    two = writer.constant(2)
    raised = writer.add("Add", [writer.add("Mul", [side.product, two], "twice"), side.other], "raised")
    rounded = writer.add("Div", [raised, writer.add("Mul", [side.other, two], "divisor")], "rounded")
    short = writer.add("Max", [rounded, writer.constant(1)], "short")
    size = writer.add("Where", [side.is_short, short, writer.constant(side.wanted)], "size")
    bars = writer.add("Sub", [writer.constant(side.wanted), size], "bars")
    corner = _precise(writer, writer.add("Div", [bars, two], "corner"), "placed")
    whole, zero = _precise(writer, side.pixels, "whole"), writer.constant([0], np.float64)
    return _Axis(whole, zero, whole, _precise(writer, size, "sized"), corner)


def _cropped(writer: _Writer, side: _Side) -> _Axis:
    """Begin and end in float32, as Pillow takes them."""
    whole, crossed = _precise(writer, side.pixels, "whole"), _precise(writer, side.crossed, "crossed")
    part = writer.add("Div", [crossed, writer.constant([side.other_wanted], np.float64)], "part")
    rest = writer.add("Sub", [whole, writer.add("Where", [side.is_short, whole, part], "kept")], "rest")
    left = writer.add("Mul", [rest, writer.constant([0.5], np.float64)], "left")
    right = writer.add("Sub", [whole, left], "right")
    begin, end = (writer.cast(x, TensorProto.FLOAT, f"{x}.single".rpartition(":")[2]) for x in (left, right))
    extent = _precise(writer, writer.add("Sub", [end, begin], "extent"), "extended")
    size, corner = (writer.constant([value], np.float64) for value in (side.wanted, 0))
    return _Axis(whole, _precise(writer, begin, "begin"), extent, size, corner)


def _weights(writer: _Writer, axis: _Axis, size: int, fit: Fit) -> list[str]:
    """(size, pixels of the image) uint8 for each of `BYTES`: what each pixel adds to each that is wanted.

    The rows of bars are zero.
    """
    one, zero, half = (writer.constant(value, np.float64) for value in (1, 0, 0.5))
    places = writer.add("Unsqueeze", [writer.constant(range(size), np.float64), writer.constant([1])], "places")
    place = writer.add("Sub", [places, axis.corner], "place")
    most = writer.add("Sub", [axis.size, one], "most")
    inner = writer.add("Min", [writer.add("Max", [place, zero], "above"), most], "inner")
    scale = writer.add("Div", [axis.extent, axis.size], "scale")
    middle = writer.add("Mul", [writer.add("Add", [inner, half], "middle"), scale], "scaled")
    centre = writer.add("Add", [middle, axis.begin], "centre")
    count = writer.add("Squeeze", [axis.pixels, writer.constant([0])], "count")
    pixel = writer.add("Add", [writer.add("Range", [zero, count, one], "range"), half], "pixel")
    distance = writer.add("Abs", [writer.add("Sub", [pixel, centre], "offset")], "distance")
    slope = writer.add("Div", [distance, writer.add("Max", [scale, one], "support")], "slope")
    raw = writer.add("Max", [writer.add("Sub", [one, slope], "fall"), zero], "raw")
    summed = writer.add("ReduceSum", [raw, writer.constant([1])], "summed", keepdims=1)
    share = writer.add("Div", [raw, summed], "share")
    if fit is Fit.PAD:
        is_inside = writer.add("Equal", [place, inner], "is_inside")
        share = writer.add("Mul", [share, writer.cast(is_inside, TensorProto.DOUBLE, "inside")], "kept")
    units = writer.add("Mul", [share, writer.constant(WEIGHT_UNIT, np.float64)], "units")
    left = writer.cast(writer.add("Add", [units, half], "rounding"), TensorProto.INT32, "rounded")
    parts = []
    for number, unit in enumerate(BYTES):
        factor = writer.constant(unit, np.int32)
        byte = writer.add("Div", [left, factor], f"byte.{number}")
        left = writer.add("Sub", [left, writer.add("Mul", [byte, factor], f"taken.{number}")], f"left.{number}")
        parts.append(writer.cast(byte, TensorProto.UINT8, f"part.{number}"))
    return parts


def _sum(writer: _Writer, products: list[list[str]]) -> str:
    """The products of pixels with the parts of weights, uint8; half is rounded up, as Pillow does it."""
    total = writer.constant(WEIGHT_UNIT // 2, np.int32)
    for number, (factors, unit) in enumerate(zip(products, BYTES, strict=True)):
        product = writer.add("MatMulInteger", factors, f"product.{number}")
        scaled = writer.add("Mul", [product, writer.constant(unit, np.int32)], f"scaled_product.{number}")
        total = writer.add("Add", [total, scaled], f"total.{number}")
    divided = writer.add("Div", [total, writer.constant(WEIGHT_UNIT, np.int32)], "divided")
    return writer.cast(divided, TensorProto.UINT8, "pixels")
