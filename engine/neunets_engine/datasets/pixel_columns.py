"""Tables that hold the pixels themselves: a column for each value (`pixel0`, `1x1`), or one of all (`pixels`)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np

from neunets_engine.datasets.columns import Chosen, choose_columns
from neunets_engine.datasets.source import Array, refusal
from neunets_engine.datasets.tables import Table

__all__ = ["pixel_columns", "read_pixels"]

FEWEST: Final = 16  # values of an image
MOST_OTHERS: Final = 3  # columns: a number, the label, the split
PIXEL: Final = re.compile(r"(pixel|px|pix)?[ _.-]?\d+|\d+x\d+", re.IGNORECASE)
FIX: Final = "pixels are whole numbers in 0..255, a square of grey values or of red, green, blue"
FORMATS: Final = {1: "P5", 3: "P6"}  # of PGM and PPM, by channels


def pixel_columns(names: Sequence[str]) -> list[int]:
    """Places of those of `names` that hold pixels; none where it is another table."""
    if "pixels" in names:
        return [names.index("pixels")]
    found = [place for place, name in enumerate(names) if PIXEL.fullmatch(name.strip())]
    if len(found) < FEWEST or len(names) - len(found) > MOST_OTHERS:
        return []
    return found


def read_pixels(
    path: Path, names: Sequence[str], places: Sequence[int], lines: Iterable[list[str]], given: Chosen
) -> Table:
    """Raises: InvalidRequest, which names the line."""
    left = [name for place, name in enumerate(names) if place not in set(places)]
    first = 2
    if not left and _shape(len(names) - 1) is not None:  # the label, and the pixels, without names
        if list(names) != list(map(str, range(len(names)))):
            lines, first = chain([list(names)], lines), 1
        names, places, left = ["label", *map(str, range(len(names) - 1))], places[1:], ["label"]
    chosen = choose_columns(path, ["pixels", *left], Chosen("pixels", given.label))
    label, split = names.index(chosen.label), None if chosen.split is None else names.index(chosen.split)
    shape: tuple[int, int] | None = None  # side and channels
    data, numbers = bytearray(), []
    labels: list[str] = []
    splits: list[str] = []
    for number, line in enumerate(lines, start=first):
        if not line:
            continue
        if len(line) != len(names):
            text = f"line {number} has {len(line)} values, the first line {len(names)}"
            raise refusal(path, text, "give each line one value a column")
        values = line[places[0]].split() if len(places) == 1 else [line[place] for place in places]
        found = _shape(len(values))
        if found is None or found != (shape or found):
            raise refusal(path, f"line {number} has {len(values):,} pixels", f"give each image as many; {FIX}")
        shape = found
        data += _bytes(path, number, values)
        labels.append(line[label])
        numbers.append(number)
        if split is not None:
            splits.append(line[split])
    side, channels = shape or (0, 1)
    size, head = side * side * channels, f"{FORMATS[channels]} {side} {side} 255\n".encode()

    def images(rows: Array, most: int) -> Iterator[Sequence[bytes]]:
        for begin in range(0, len(rows), most):
            some = map(int, rows[begin : begin + most])
            yield [head + bytes(data[row * size : (row + 1) * size]) for row in some]

    def name(row: int) -> str:
        return f"line {numbers[row]} of {path}"

    told = f"{len(places):,} columns" if len(places) > 1 else "the column 'pixels'"
    told = f"{told} of pixels are read as images of {side} x {side}, {channels} channel{'s' if channels > 1 else ''}"
    return Table(str(path), labels, None if split is None else splits, images, name, name, told=(told, *chosen.told))


def _shape(values: int) -> tuple[int, int] | None:
    """Side and channels of a square image of so many values."""
    for channels in (1, 3):
        side = math.isqrt(values // channels)
        if values >= FEWEST and side * side * channels == values:
            return side, channels
    return None


def _bytes(path: Path, number: int, values: Sequence[str]) -> bytes:
    try:
        found = np.array(values, np.float64)
    except ValueError as error:
        raise refusal(path, f"line {number} holds a pixel that is no number ({error})", FIX) from error
    if not ((found >= 0) & (found <= 255) & (found == np.round(found))).all():
        raise refusal(path, f"line {number} holds pixels that are no whole numbers in 0..255", FIX)
    return found.astype(np.uint8).tobytes()
