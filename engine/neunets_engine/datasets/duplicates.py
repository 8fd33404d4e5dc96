"""Test examples that are training examples, too: value by value."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from neunets_engine.datasets.source import Array

__all__ = ["Duplicate", "find_duplicates", "fingerprints"]

BYTES: Final = 8  # of a fingerprint; rows of one fingerprint are compared as a whole


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Rows of the kept arrays."""

    train: int
    test: int


def fingerprints(block: Array) -> Array:
    """(n,) uint64, equal for equal examples."""
    if not len(block):
        return np.zeros(0, np.uint64)
    rows = block.reshape(len(block), -1).view(np.uint8)
    return np.frombuffer(b"".join(hashlib.blake2b(row.data, digest_size=BYTES).digest() for row in rows), np.uint64)


def find_duplicates(train: Path, of_train: Array, test: Path, of_test: Array) -> tuple[int, Duplicate | None]:
    """How many test rows there are whose values are those of a training row, and the first. (N,) uint64: fingerprints.

    `train`, `test`: files of the examples.
    """
    order = np.argsort(of_train, kind="stable")
    places = np.minimum(np.searchsorted(of_train[order], of_test), len(order) - 1)
    x_train, x_test = np.load(train, mmap_mode="r"), np.load(test, mmap_mode="r")
    count, first = 0, None
    for row in np.flatnonzero(of_train[order][places] == of_test):
        twin = int(order[places[row]])
        if np.array_equal(x_train[twin], x_test[row]):
            count += 1
            first = first or Duplicate(twin, int(row))
    return count, first
