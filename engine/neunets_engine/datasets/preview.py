"""A contact sheet: some training images of every class, one row a class, as a PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from neunets.draws import generator

__all__ = ["contact_sheet"]

MOST_CLASSES: Final = 32
# Of the longer side of an image as it is drawn, and of all images of a row; in pixels.
SMALLEST, LARGEST, WIDEST = 48, 128, 2048
# A sheet travels in one message, and gRPC's clients take 4 MiB by default: so much it has before it is packed.
MOST_BYTES: Final = 7 << 19
GAP, LINE, FONT_SIZE = 4, 20, 14
MOST_LETTERS: Final = 28
# Neither black nor white: the edge of an image shows on it.
PAPER, INK = (225, 228, 232), (20, 20, 20)


@dataclass(frozen=True, slots=True)
class _Layout:
    width: int  # of an image as drawn
    height: int
    left: int  # where the images begin, right of the names
    step: int  # from one row to the next


def contact_sheet(folder: Path, classes: Sequence[str], images_a_class: int, seed: int = 0) -> bytes:
    """Draw the arrays that are kept in `folder`: up to `images_a_class` training images a class, chosen by `seed`.

    Small images are enlarged by a whole factor, pixel by pixel; large ones are reduced. 32 classes at most get a row,
    and how many more there are is said. Of more than three channels the first three are drawn, of two the first.
    """
    x = np.load(folder / "x_train.npy", mmap_mode="r")  # (N, H, W, C)
    y = np.where(np.load(folder / "split.npy"), -1, np.load(folder / "y_train.npy"))
    font, names = ImageFont.load_default(FONT_SIZE), [_short(name) for name in classes[:MOST_CLASSES]]
    columns = min(images_a_class, int(np.bincount(y[y >= 0]).max()))
    layout = _lay_out(x.shape[1], x.shape[2], columns, len(names), max(map(font.getlength, names)))
    more = len(classes) - len(names)
    width = layout.left + columns * (layout.width + GAP)
    sheet = Image.new("RGB", (width, GAP + len(names) * layout.step + (LINE if more else 0)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for label, name in enumerate(names):
        top = GAP + label * layout.step
        draw.text((GAP, top + layout.height // 2), name, INK, font, anchor="lm")
        for column, row in enumerate(_choose(np.flatnonzero(y == label), columns, seed, label)):
            sheet.paste(_image(x[row], layout), (layout.left + column * (layout.width + GAP), top))
    if more:
        draw.text((GAP, sheet.height - LINE), f"and {more} more classes", INK, font)
    stream = io.BytesIO()
    sheet.save(stream, "png")
    return stream.getvalue()


def _choose(rows: NDArray[np.int64], count: int, seed: int, label: int) -> NDArray[np.int64]:
    return np.sort(generator(seed, label).choice(rows, min(count, len(rows)), replace=False))


def _lay_out(height: int, width: int, columns: int, rows: int, text_width: float) -> _Layout:
    longest = max(height, width)
    scale: float = math.ceil(SMALLEST / longest)
    most = min(LARGEST, WIDEST // columns, math.isqrt(MOST_BYTES // (3 * columns * rows)))
    if longest * scale > most:
        scale = most / longest if longest > most else most // longest
    drawn = max(1, round(width * scale)), max(1, round(height * scale))
    return _Layout(*drawn, left=GAP + math.ceil(text_width) + 2 * GAP, step=max(drawn[1], LINE) + GAP)


def _image(pixels: NDArray[Any], layout: _Layout) -> Image.Image:
    """`pixels`: (H, W, C), uint8."""
    grey = pixels.shape[2] < 3
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if grey else pixels[:, :, :3]))
    is_small = image.width <= layout.width
    return image.resize((layout.width, layout.height), Image.Resampling.NEAREST if is_small else Image.Resampling.BOX)


def _short(name: str) -> str:
    """On one line, of a length that leaves room for images."""
    words = " ".join(name.split())
    return words if len(words) <= MOST_LETTERS else f"{words[: MOST_LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
