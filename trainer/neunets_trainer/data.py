"""The arrays of a data set on the device, as they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neunets.errors import NotFound

__all__ = ["Data", "Split", "load_data"]


@dataclass(frozen=True, slots=True)
class Split:
    x: Tensor  # (N, H, W, C) uint8 or (N, L, C) float32
    y: Tensor  # (N,) int64

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Examples (n, ...) and labels (n,) of `rows` (n,) int64, in that order, on the device."""
        return self.x[rows], self.y[rows]

    def blocks(self, rows: int, end: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """All examples and labels before `end`, in order, `rows` at a time."""
        end = len(self) if end is None else min(end, len(self))
        for begin in range(0, end, rows):
            yield self.x[begin : min(begin + rows, end)], self.y[begin : min(begin + rows, end)]


@dataclass(frozen=True, slots=True)
class Data:
    """The test set stays on disk until it is asked for."""

    folder: Path
    device: str
    train: Split
    valid: Split

    def test_rows(self) -> int:
        return len(_tensor(self.folder / "y_test.npy", "cpu"))

    def test(self) -> Split:
        return Split(_tensor(self.folder / "x_test.npy", self.device), _tensor(self.folder / "y_test.npy", self.device))


def load_data(folder: Path, device: str) -> Data:
    """Raises: NotFound where an array is missing."""
    x = _tensor(folder / "x_train.npy", "cpu")
    y = _tensor(folder / "y_train.npy", "cpu")
    is_valid = _tensor(folder / "split.npy", "cpu")
    train = Split(x[~is_valid].to(device), y[~is_valid].to(device))
    return Data(folder, device, train, Split(x[is_valid].to(device), y[is_valid].to(device)))


def _tensor(path: Path, device: str) -> Tensor:
    try:
        return torch.from_numpy(np.load(path)).to(device)
    except FileNotFoundError:
        raise NotFound(f"{path} is missing: register the data set again") from None
