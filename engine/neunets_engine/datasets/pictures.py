"""Encoded images as a source: measured, brought to one size and number of channels, decoded once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn, TypeAlias

import numpy as np

from neunets.images import Encoded
from neunets.preprocessing import Fit, Preprocessing
from neunets_engine.datasets.columns import Chosen
from neunets_engine.datasets.decoding import PART, PART_BYTES, Decoders
from neunets_engine.datasets.sizes import Size, choose_size, resizing_told, size_features
from neunets_engine.datasets.source import Array, Examples, Progress, Remarks, Source, Tell, validation_told
from neunets_engine.datasets.unreadable import Unreadable, left_out, unreadable

Refuse: TypeAlias = Callable[[Unreadable], NoReturn]
__all__ = ["Pictures", "Reading", "read_pictures"]


@dataclass(frozen=True, slots=True)
class Reading:
    """With what one source is read. `size`: of all images, where the user wants one."""

    decoders: Decoders
    tell: Tell
    size: Size | None = None
    fit: Fit = Fit.STRETCH
    columns: Chosen = field(default_factory=Chosen)  # of tables
    skip_unreadable: bool = False


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
    """Raises: InvalidRequest, which names the images that cannot be read, up to ten."""
    if reading.skip_unreadable:
        (train, test), told = _readable(train, test, reading)
        warnings += told
    total = len(train.y) + (0 if test is None else len(test.y))
    refuse = partial(_refuse, train, test, reading)
    sizes, is_grey = _measure(train, reading, 0, total, refuse)
    test_sizes = sizes[:0] if test is None else _measure(test, reading, len(train.y), total, refuse)[0]
    size = choose_size(sizes, reading.size)
    wanted = Preprocessing(size.height, size.width, 1 if is_grey.all() else 3, reading.fit)
    all_sizes = np.concatenate([sizes, test_sizes])
    resized = int((all_sizes != (size.width, size.height)).any(axis=1).sum())
    remarks = Remarks()
    valid = None if train.is_valid is None or not train.is_valid.any() else train.is_valid
    return Source(
        classes,
        _examples(train, wanted, reading, remarks, refuse),
        None if test is None else _examples(test, wanted, reading, remarks, refuse),
        warnings
        + (() if valid is None else validation_told(int(valid.sum())))
        + resizing_told(all_sizes, resized, wanted),
        remarks,
        size_features(sizes) | {"grey_fraction": float(is_grey.mean())},
        wanted,
        resized,
        valid,
    )


def _measure(pictures: Pictures, reading: Reading, done: int, total: int, refuse: Refuse) -> tuple[Array, Array]:
    """Width and height (N, 2) and whether it is grey (N,) of each image."""
    sizes, is_grey = np.empty((len(pictures.y), 2), np.int32), np.empty(len(pictures.y), np.bool_)
    begin = 0
    for part in reading.decoders.measure(pictures.parts(PART)):
        if part.fault is not None:
            refuse((pictures.name(begin + part.fault[0]), part.fault[1]))
        end = begin + len(part.sizes)
        sizes[begin:end], is_grey[begin:end] = part.sizes, part.is_grey
        begin = end
        reading.tell(Progress("measuring", done + begin, total))
    return sizes, is_grey


def _examples(
    pictures: Pictures, wanted: Preprocessing, reading: Reading, remarks: Remarks, refuse: Refuse
) -> Examples:
    images = max(1, min(PART, PART_BYTES // (wanted.height * wanted.width * wanted.channels)))

    def blocks() -> Iterator[Array]:
        begin = 0
        for part in reading.decoders.decode(pictures.parts(images), wanted):
            if part.fault is not None:
                refuse((pictures.name(begin + part.fault[0]), part.fault[1]))
            for remark, places in part.remarks.items():
                remarks.add(remark.value, pictures.name(begin + places[0]), len(places))
            begin += len(part.pixels)
            yield part.pixels

    return Examples(pictures.y, wanted.shape, blocks, pictures.name, "decoding")


def _refuse(train: Pictures, test: Pictures | None, reading: Reading, first: Unreadable) -> NoReturn:
    """With all images that cannot be read; `first` was found."""
    faults = [fault for part in (train, test) if part is not None for fault in _faults(part, reading).values()]
    raise unreadable(faults or [first])


def _readable(
    train: Pictures, test: Pictures | None, reading: Reading
) -> tuple[tuple[Pictures, Pictures | None], tuple[str, ...]]:
    """Those that can be read, and in words the others. Raises: InvalidRequest if no training image can."""
    of_train, of_test = _faults(train, reading), {} if test is None else _faults(test, reading)
    faults = [*of_train.values(), *of_test.values()]
    if len(of_train) == len(train.y) and faults:
        raise unreadable(faults)
    kept = _without(train, of_train), None if test is None else _without(test, of_test)
    return kept, (left_out(faults),) if faults else ()


def _faults(pictures: Pictures, reading: Reading) -> Mapping[int, Unreadable]:
    """By row."""
    found: dict[int, Unreadable] = {}
    begin = 0
    for part, faults in zip(pictures.parts(PART), reading.decoders.check(pictures.parts(PART)), strict=True):
        found |= {begin + place: (pictures.name(begin + place), fault) for place, fault in faults}
        begin += len(part)
        reading.tell(Progress("checking", begin, len(pictures.y)))
    return found


def _without(pictures: Pictures, rows: Collection[int]) -> Pictures:
    if not rows:
        return pictures
    kept = np.setdiff1d(np.arange(len(pictures.y)), list(rows))

    def parts(size: int) -> Iterator[Sequence[Encoded]]:
        begin = 0
        for part in pictures.parts(size):
            some = [encoded for place, encoded in enumerate(part) if begin + place not in rows]
            begin += len(part)
            if some:
                yield some

    is_valid = None if pictures.is_valid is None else pictures.is_valid[kept]
    return Pictures(pictures.y[kept], parts, lambda row: pictures.name(int(kept[row])), is_valid)
