"""The one size that all images of a data set get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from neunets.preprocessing import Fit, Preprocessing
from neunets_engine.datasets.source import Array

__all__ = ["LARGEST", "Size", "choose_size", "resizing_told", "size_features"]

# Of a side: a network takes no larger image.
LARGEST: Final = 1024
# Of the longer side, where images of different sizes are brought to one: more costs time that a search needs.
LONGEST: Final = 128
# Width / height up to which, and down to whose inverse, the images are made square.
NEARLY_SQUARE: Final = 1.25


@dataclass(frozen=True, slots=True)
class Size:
    height: int
    width: int


def choose_size(sizes: Array, wanted: Size | None) -> Size:
    """`sizes` (N, 2): width and height of the training images.

    The size that is wanted, if any. Images of one size stay as they are, up to 1024 pixels a side. Others
    get the median width and the median height, made smaller until no side is above 128; nearly square ones a square of
    the same area.
    """
    if wanted is not None:
        return wanted
    width, height = (float(side) for side in np.median(sizes, axis=0))
    if (sizes == sizes[0]).all() and max(width, height) <= LARGEST:
        return Size(int(height), int(width))
    if 1 / NEARLY_SQUARE <= width / height <= NEARLY_SQUARE:
        width = height = (width * height) ** 0.5
    scale = min(1.0, LONGEST / max(width, height))
    return Size(max(1, round(height * scale)), max(1, round(width * scale)))


def size_features(sizes: Array) -> dict[str, float]:
    """`sizes` (N, 2): width and height."""
    features: dict[str, float] = {}
    for axis, name in enumerate(("width", "height")):
        side = sizes[:, axis]
        found = {"min": side.min(), "median": np.median(side), "max": side.max()}
        features |= {f"{name}/{key}": float(value) for key, value in found.items()}
    return features | {"aspect/median": float(np.median(sizes[:, 0] / sizes[:, 1]))}


def resizing_told(sizes: Array, resized: int, wanted: Preprocessing) -> tuple[str, ...]:
    """`sizes` (N, 2): width and height of all images; `resized`: how many have another size than is wanted."""
    if not resized:
        return ()
    (least_w, least_h), (most_w, most_h) = sizes.min(axis=0), sizes.max(axis=0)
    count = f"{resized:,} image{' is' if resized == 1 else 's are'} resized to {wanted.width} x {wanted.height}"
    found = f"the images are {least_w} to {most_w} pixels wide and {least_h} to {most_h} high"
    way = {Fit.STRETCH: "", Fit.PAD: " and padded", Fit.CROP: " and cropped"}[wanted.fit]
    return (f"{count}{way}: {found}; --image-size sets another size, --image-fit whether they are padded or cropped",)
