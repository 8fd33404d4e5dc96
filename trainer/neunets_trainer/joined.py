"""Several splits of a data set as one to train on."""

from __future__ import annotations

import torch
from torch import Tensor

from neunets_trainer.data import Split

__all__ = ["Joined"]


class Joined:
    """The rows of the first split, then those of the second."""

    def __init__(self, first: Split, second: Split) -> None:
        self._first, self._second = first, second
        self.y = torch.cat([first.y, second.y])  # (N,) int64

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """As `Split.take`: examples (n, ...) and labels (n,) of `rows` (n,), in that order."""
        is_first = rows < len(self._first)
        head, _ = self._first.take(rows[is_first])
        tail, _ = self._second.take(rows[~is_first] - len(self._first))
        x = torch.empty(len(rows), *head.shape[1:], dtype=head.dtype, device=head.device)
        x[is_first], x[~is_first] = head, tail
        return x, self.y[rows]
