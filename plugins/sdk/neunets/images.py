"""One image file: its size from the header, and its pixels in 8 bits of grey or of red, green and blue.

What a network learns from and what it is asked about later has to be read alike, so that both read it here. Needs
Pillow, which nothing else of this package does: `pip install "neunets-sdk[images]"`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from neunets.files import open_regular
from neunets.preprocessing import Preprocessing

__all__ = [
    "HEAD_BYTES",
    "Encoded",
    "Fault",
    "Header",
    "Remark",
    "decode",
    "format_of",
    "header",
    "resized",
    "resized_array",
]

T = TypeVar("T")
Array: TypeAlias = NDArray[Any]
Encoded: TypeAlias = str | bytes  # a path, or the content of a file
# Pillow is given no other formats: for EPS it runs Ghostscript, and every decoder more is one more to be attacked.
FORMATS: Final = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
HEAD_BYTES: Final = 16  # in which the format shows
SIGNATURES: Final = (
    (rb"\x89PNG\r\n\x1a\n", "PNG"), (rb"\xff\xd8\xff", "JPEG"), (rb"GIF8[79]a", "GIF"), (rb"II\*\0|MM\0\*", "TIFF"),
    (rb"BM.{4}\0{4}", "BMP"), (rb"RIFF.{4}WEBP", "WEBP"), (rb"P[2356]\n", "PPM"),
    (rb".{4}ftypavi[fs]", "AVIF"), (rb".{4}ftyp(he[iv][cxms]|mif1|msf1)", "HEIC"),
    (rb"\0{3}\x0cJXL \r\n", "JPEG XL"), (rb"\0{3}\x0cjP  \r\n", "JPEG 2000"),
)  # fmt: skip
# Formats that are not read here, each with the package with which they can be converted.
CONVERTERS: Final = {
    "HEIC": "pillow-heif",
    "AVIF": "pillow-avif-plugin",
    "JPEG XL": "pillow-jxl-plugin",
    "JPEG 2000": "pillow",
}
GREY_MODES: Final = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})
# Pillow reads these formats' orientation without decoding the image; in a TIFF the size follows it already.
ORIENTED: Final = frozenset({"JPEG", "MPO", "WEBP"})
SIDEWAYS: Final = frozenset({5, 6, 7, 8})  # EXIF orientations that exchange width and height
MANY_FRAMES: Final = frozenset({"GIF", "WEBP", "PNG"})
# From here on Pillow calls an image a decompression bomb.
MOST_PIXELS: Final = 89_478_485
DEEPEST: Final = 65535
REPLACE: Final = "replace or remove it"


class Remark(Enum):
    """What was done to an image to read it; the text goes on after "3 images "."""

    TRANSPARENT = "with transparent pixels, laid over white"
    DEEP = "of 16 bits, scaled to 8 (65535 to 255)"
    MOVING = "of several frames, read as their first"
    CMYK = "in CMYK, converted to RGB without a colour profile"


@dataclass(frozen=True, slots=True)
class Header:
    width: int  # as seen: after the orientation
    height: int
    is_grey: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an image cannot be used. A value, since it passes between processes."""

    text: str
    fix: str


def format_of(head: bytes) -> str | None:
    """By the first bytes of a file, whether or not the format is read here; None: no image that is known."""
    return next((name for pattern, name in SIGNATURES if re.match(pattern, head, re.DOTALL)), None)


def header(encoded: Encoded) -> Header | Fault:
    def read(image: Image.Image) -> Header | Fault:
        width, height = image.size
        if image.mode == "F":
            return Fault("its pixels are of mode F", "convert it to 8 bits a channel")
        if image.format in ORIENTED and image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS:
            width, height = height, width
        return Header(width, height, image.mode in GREY_MODES)

    return _opened(encoded, read)


def decode(encoded: Encoded, wanted: Preprocessing) -> tuple[Array, frozenset[Remark]] | Fault:
    """Returns: (H, W, C) uint8, C of 1 or 3, and what was done to it."""

    def read(image: Image.Image) -> tuple[Array, frozenset[Remark]] | Fault:
        remarks = set()
        if image.format in MANY_FRAMES and getattr(image, "is_animated", False):
            remarks.add(Remark.MOVING)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        eight = _in_eight_bits(image, wanted.background, remarks)
        if isinstance(eight, Fault):
            return eight
        eight = resized(eight.convert("L" if wanted.channels == 1 else "RGB"), wanted)
        return np.asarray(eight).reshape(wanted.shape), frozenset(remarks)

    return _opened(encoded, read)


def resized(image: Image.Image, wanted: Preprocessing) -> Image.Image:
    """`image` of mode L or RGB in the size that is wanted."""
    if image.size == (wanted.width, wanted.height):
        return image
    placement = wanted.placement(*image.size)
    content = image.resize(placement.size, Image.Resampling.BILINEAR, placement.box)
    if content.size == (wanted.width, wanted.height):
        return content
    whole = Image.new(image.mode, (wanted.width, wanted.height))  # black
    whole.paste(content, placement.corner)
    return whole


def resized_array(image: Array, wanted: Preprocessing) -> Array:
    """`image` (H, W, C) uint8, of any number of channels, in the size that is wanted."""
    channels = [resized(Image.fromarray(image[..., channel]), wanted) for channel in range(image.shape[2])]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def _opened(encoded: Encoded, read: Callable[[Image.Image], T | Fault]) -> T | Fault:
    try:
        stream = io.BytesIO(encoded) if isinstance(encoded, bytes) else open_regular(encoded)
    except FileNotFoundError:
        return Fault("it cannot be read: there is no such file", "put it there, or remove what names it")
    except PermissionError:
        return Fault("it may not be read", "give this user the permission")
    except OSError as error:
        return Fault(f"it cannot be read: {error.strerror}", REPLACE)
    except ValueError as error:  # a zero in the name
        return Fault(f"it cannot be read: {error}", REPLACE)
    try:
        with stream, Image.open(stream, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                return Fault(f"{image.width} x {image.height} pixels are too many", "make it smaller, or remove it")
            return read(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return Fault(f"its pixels are too many ({error})", "make it smaller, or remove it")
    except MemoryError:
        return Fault("it needs more memory than there is", "make it smaller, or remove it")
    except UnidentifiedImageError:
        if _is_empty(encoded):
            return Fault("the file is empty", REPLACE)
        return _unidentified(encoded)
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if _is_empty(encoded):
            return Fault("the file is empty", REPLACE)
        return Fault(f"it cannot be read as an image ({error})", REPLACE)


def _unidentified(encoded: Encoded) -> Fault:
    found = None
    with contextlib.suppress(OSError):
        stream = io.BytesIO(encoded) if isinstance(encoded, bytes) else open_regular(encoded)
        with stream:
            found = format_of(stream.read(HEAD_BYTES))
    if found in CONVERTERS:
        text = f"it is an image in {found}, which is not read but by the package {CONVERTERS[found]}"
        return Fault(text, "convert it to PNG or JPEG")
    return Fault(f"it cannot be read as an image: it is none of {', '.join(FORMATS)}", REPLACE)


def _in_eight_bits(image: Image.Image, background: tuple[int, int, int], remarks: set[Remark]) -> Image.Image | Fault:
    """In mode L or RGB. What is handled on the way goes into `remarks`."""
    if image.mode.startswith("I"):
        return _scaled(np.asarray(image), remarks)
    if image.mode == "CMYK":
        remarks.add(Remark.CMYK)
    if image.has_transparency_data:
        image = _over(background, image, remarks)
    return image.convert("L" if image.mode in GREY_MODES else "RGB")


def _scaled(deep: Array, remarks: set[Remark]) -> Image.Image | Fault:
    """16 bits to 8, by the range of the type: the same grey stays the same in all images."""
    if deep.size and not 0 <= int(deep.min()) <= int(deep.max()) <= DEEPEST:
        return Fault("its pixels are of 32 bits", "convert it to 8 bits a channel")
    remarks.add(Remark.DEEP)
    return Image.fromarray(np.round(deep / (DEEPEST / 255.0)).astype(np.uint8))


def _over(background: tuple[int, int, int], image: Image.Image, remarks: set[Remark]) -> Image.Image:
    """What transparent pixels hold is never seen, and often noise or black: they become what a page shows."""
    is_grey = image.mode in GREY_MODES and len(set(background)) == 1
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema() != (255, 255):
        remarks.add(Remark.TRANSPARENT)
        layer = Image.alpha_composite(Image.new("RGBA", layer.size, background), layer)
    return layer.convert("L" if is_grey else "RGB")


def _is_empty(encoded: Encoded) -> bool:
    try:
        return (len(encoded) if isinstance(encoded, bytes) else os.stat(encoded).st_size) == 0
    except OSError:
        return False
