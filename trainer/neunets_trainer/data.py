"""The arrays of a data set on the device, as they are stored."""

from __future__ import annotations

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
