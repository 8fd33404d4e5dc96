"""The arrays of a data set as they are stored: mapped from their files, or on the device where they fit."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from neunets.errors import NotFound

__all__ = ["Data", "Split", "load_data"]

# Of a GPU's free memory, for the training examples; the rest is left to the networks.
RESIDENT_SHARE: Final = 0.5
COPY_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Split:
    """Examples of one purpose, wherever they lie. `take` and `blocks` bring them to the device, which is `y`'s.

    `rows` (N,) int64 tells which of `stored` are the split's, in what order; None: all. Splits of one array share it.
    """

    stored: Tensor  # (M, H, W, C) uint8 or (M, L, C) float32
    y: Tensor  # (N,) int64
    rows: Tensor | None = None  # beside `stored`

    def __len__(self) -> int:
        return len(self.y)

    @property
    def x(self) -> Tensor:
        """All examples (N, ...) at once: for splits that are known to be small."""
        return self._gather(self._places(0, len(self)))

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Examples (n, ...) and labels (n,) of `rows` (n,) int64, in that order, on the device."""
        places = rows.to(self.stored.device)
        return self._gather(places if self.rows is None else self.rows[places]), self.y[rows]

    def blocks(self, rows: int, end: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """All examples and labels before `end`, in order, `rows` at a time."""
        end = len(self) if end is None else min(end, len(self))
        for begin in range(0, end, rows):
            stop = min(begin + rows, end)
            yield self._gather(self._places(begin, stop)), self.y[begin:stop]

    def _places(self, begin: int, end: int) -> Tensor:
        return torch.arange(begin, end, device=self.stored.device) if self.rows is None else self.rows[begin:end]

    def _gather(self, places: Tensor) -> Tensor:
        if self.stored.device == self.y.device:
            return self.stored.index_select(0, places)
        # torch reuses pinned memory only once the copy from it is done.
        held = torch.empty(len(places), *self.stored.shape[1:], dtype=self.stored.dtype, pin_memory=True)
        torch.index_select(self.stored, 0, places, out=held)
        return held.to(self.y.device, non_blocking=True)


@dataclass(frozen=True, slots=True)
class Data:
    """The test set stays on disk until it is asked for."""

    folder: Path
    device: str
    train: Split
    valid: Split

    def test_rows(self) -> int:
        return len(_mapped(self.folder / "y_test.npy"))

    def test(self) -> Split:
        return Split(_mapped(self.folder / "x_test.npy"), _loaded(self.folder / "y_test.npy").to(self.device))


def load_data(folder: Path, device: str) -> Data:
    """Workers on CPUs share one copy, the system's cache of the file.

    Raises: NotFound where an array is missing or damaged.
    """
    x = _mapped(folder / "x_train.npy")
    if device.startswith("cuda") and x.nbytes <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
        x = _resident(x, device)
    y, is_valid = _loaded(folder / "y_train.npy"), _loaded(folder / "split.npy")
    train, valid = (torch.nonzero(mask).squeeze(1) for mask in (~is_valid, is_valid))
    return Data(
        folder,
        device,
        Split(x, y[train].to(device), train.to(x.device)),
        Split(x, y[valid].to(device), valid.to(x.device)),
    )


def _resident(mapped: Tensor, device: str) -> Tensor:
    """A copy on the device, made block by block."""
    x = torch.empty(mapped.shape, dtype=mapped.dtype, device=device)
    rows = max(1, COPY_BYTES // max(1, mapped[:1].nbytes))
    for begin in range(0, len(x), rows):
        x[begin : begin + rows].copy_(mapped[begin : begin + rows])
    return x


def _mapped(path: Path) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has no read-only tensors; nothing writes to this one
        try:
            return torch.from_numpy(np.load(path, mmap_mode="r"))
        except FileNotFoundError:
            raise NotFound(f"{path} is missing: register the data set again") from None
        except (OSError, ValueError, EOFError) as error:
            raise NotFound(f"{path} is damaged ({error}): register the data set again") from error


def _loaded(path: Path) -> Tensor:
    return _mapped(path).clone()
