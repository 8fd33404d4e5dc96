"""What a reader returns, how it tells its progress, and how it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neunets.errors import InvalidRequest
from neunets.preprocessing import Preprocessing

__all__ = [
    "Array",
    "Examples",
    "Progress",
    "Remarks",
    "Source",
    "Tell",
    "in_memory",
    "readable",
    "refusal",
    "rows_a_block",
    "validation_told",
    "with_validation",
]

Array: TypeAlias = NDArray[Any]
# Of a block of examples: few enough to stay flat, enough to be quick.
BLOCK_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Progress:
    stage: str  # "unpacking", "measuring", "decoding", "copying"
    done: int
    total: int  # 0: not known


Tell: TypeAlias = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Examples:
    """The labels are there at once; the examples come in order, block by block, as often as `blocks` is called."""

    y: Array  # (N,) int64, an index into the classes
    shape: tuple[int, ...]  # of one example: (H, W, C) uint8 or (L, C) float32
    blocks: Callable[[], Iterator[Array]]  # (n, *shape)
    name: Callable[[int], str]  # of a row, for messages: a file, or "x_train[3]"
    stage: str = "copying"


class Remarks:
    """What was found in single examples and handled: each with its count and the first example."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, remark: str, name: str, count: int = 1) -> None:
        """`remark` goes on after "3 images "; `name` is one of them."""
        before, first = self._found.get(remark, (0, name))
        self._found[remark] = (before + count, first)

    def sentences(self, noun: str = "image") -> tuple[str, ...]:
        return tuple(
            f"{count:,} {noun}{'s' if count > 1 else ''} {remark}, such as {name}"
            for remark, (count, name) in self._found.items()
        )


@dataclass(frozen=True, slots=True)
class Source:
    """`test` is None where the source has no test set. `remarks` are complete once all blocks were read."""

    classes: tuple[str, ...]
    train: Examples
    test: Examples | None
    warnings: tuple[str, ...] = ()
    remarks: Remarks = field(default_factory=Remarks)
    meta_features: Mapping[str, float] = field(default_factory=dict)  # of the images before they were resized
    preprocessing: Preprocessing | None = None  # of images that were files, at first; then of arrays of images as well
    resized: int = 0  # images that had another size
    valid: Array | None = None  # (N,) bool: rows of `train` that the source gives to validate; None: it gives none


def in_memory(x: Array, y: Array, name: str) -> Examples:
    """x (N, H, W, C) uint8 or (N, L, C) float32; `name` is the array's."""
    rows = rows_a_block(x.shape[1:], x.dtype)

    def blocks() -> Iterator[Array]:
        return (x[begin : begin + rows] for begin in range(0, len(x), rows))

    return Examples(y, x.shape[1:], blocks, lambda row: f"{name}[{row}]")


def with_validation(source: Source, valid: Examples | None) -> Source:
    """`source` with a validation set that is given: its examples stand behind the training examples."""
    if valid is None or not len(valid.y):
        return source
    train = source.train

    def blocks() -> Iterator[Array]:
        yield from train.blocks()
        yield from valid.blocks()

    def name(row: int) -> str:
        return train.name(row) if row < len(train.y) else valid.name(row - len(train.y))

    both = Examples(np.concatenate([train.y, valid.y]), train.shape, blocks, name, train.stage)
    is_valid = np.arange(len(both.y)) >= len(train.y)
    return replace(source, train=both, valid=is_valid, warnings=source.warnings + validation_told(len(valid.y)))


def validation_told(rows: int) -> tuple[str, ...]:
    """`rows`: of the validation set that a source gives."""
    return (f"the validation set is the given one, {rows:,} example{'s' if rows > 1 else ''}: none is drawn",)


def rows_a_block(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return max(1, BLOCK_BYTES // max(1, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize))


def refusal(what: object, fault: str, fix: str) -> InvalidRequest:
    """`what`: the file, or the array in it."""
    return InvalidRequest("source", readable(f"{what}: {fault}; {fix}"))


def readable(name: str) -> str:
    """For messages: bytes of a file's name that are no UTF-8 are escaped."""
    return name.encode(errors="backslashreplace").decode()
