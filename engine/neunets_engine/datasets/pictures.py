"""Encoded images as a source: measured, brought to one size and number of channels, decoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from neunets.images import Encoded, Fault
from neunets.preprocessing import Fit, Preprocessing
from neunets_engine.datasets.columns import Chosen
from neunets_engine.datasets.decoding import PART, PART_BYTES, Decoders
from neunets_engine.datasets.sizes import Size, choose_size, resizing_told, size_features
from neunets_engine.datasets.source import Array, Examples, Progress, Remarks, Source, Tell, refusal, validation_told

__all__ = ["Pictures", "Reading", "read_pictures"]


@dataclass(frozen=True, slots=True)
class Reading:
    """With what one source is read. `size`: of all images, where the user wants one."""

    decoders: Decoders
    tell: Tell
    size: Size | None = None
    fit: Fit = Fit.STRETCH
    columns: Chosen = field(default_factory=Chosen)  # of tables


@dataclass(frozen=True, slots=True)
class Pictures:
    """Images in the order of their labels; `parts(n)` gives at most n at a time, as often as it is called."""

    y: Array  # (N,) int64
    parts: Callable[[int], Iterator[Sequence[Encoded]]]
    name: Callable[[int], str]
    is_valid: Array | None = None  # (N,) bool: those that the source gives to validate


def read_pictures(
    classes: tuple[str, ...], train: Pictures, test: Pictures | None, warnings: tuple[str, ...], reading: Reading
) -> Source:
    """Raises: InvalidRequest, which names the image."""
    total = len(train.y) + (0 if test is None else len(test.y))
    sizes, is_grey = _measure(train, reading, 0, total)
    test_sizes = sizes[:0] if test is None else _measure(test, reading, len(train.y), total)[0]
    size = choose_size(sizes, reading.size)
    wanted = Preprocessing(size.height, size.width, 1 if is_grey.all() else 3, reading.fit)
    all_sizes = np.concatenate([sizes, test_sizes])
    resized = int((all_sizes != (size.width, size.height)).any(axis=1).sum())
    remarks = Remarks()
    valid = None if train.is_valid is None or not train.is_valid.any() else train.is_valid
    return Source(
        classes,
        _examples(train, wanted, reading, remarks),
        None if test is None else _examples(test, wanted, reading, remarks),
        warnings
        + (() if valid is None else validation_told(int(valid.sum())))
        + resizing_told(all_sizes, resized, wanted),
        remarks,
        size_features(sizes) | {"grey_fraction": float(is_grey.mean())},
        wanted,
        resized,
        valid,
    )


def _measure(pictures: Pictures, reading: Reading, done: int, total: int) -> tuple[Array, Array]:
    """Width and height (N, 2) and whether it is grey (N,) of each image."""
    sizes, is_grey = np.empty((len(pictures.y), 2), np.int32), np.empty(len(pictures.y), np.bool_)
    begin = 0
    for part in reading.decoders.measure(pictures.parts(PART)):
        _check(part.fault, begin, pictures)
        end = begin + len(part.sizes)
        sizes[begin:end], is_grey[begin:end] = part.sizes, part.is_grey
        begin = end
        reading.tell(Progress("measuring", done + begin, total))
    return sizes, is_grey


def _examples(pictures: Pictures, wanted: Preprocessing, reading: Reading, remarks: Remarks) -> Examples:
    images = max(1, min(PART, PART_BYTES // (wanted.height * wanted.width * wanted.channels)))

    def blocks() -> Iterator[Array]:
        begin = 0
        for part in reading.decoders.decode(pictures.parts(images), wanted):
            _check(part.fault, begin, pictures)
            for remark, places in part.remarks.items():
                remarks.add(remark.value, pictures.name(begin + places[0]), len(places))
            begin += len(part.pixels)
            yield part.pixels

    return Examples(pictures.y, wanted.shape, blocks, pictures.name, "decoding")


def _check(fault: tuple[int, Fault] | None, begin: int, pictures: Pictures) -> None:
    if fault is not None:
        place, why = fault
        raise refusal(pictures.name(begin + place), why.text, why.fix)
