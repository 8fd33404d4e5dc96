"""Accuracy, loss and probabilities of a network, in float32: what the exported file will compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from neunets_trainer.build import Network
from neunets_trainer.data import Split

__all__ = ["Score", "probabilities", "score"]

BATCH: Final = 256


@dataclass(frozen=True, slots=True)
class Score:
    accuracy: float  # 0..1
    loss: float  # mean cross entropy, nats


@torch.no_grad()
def score(network: Network, split: Split) -> Score:
    """NaN where there are no rows."""
    right = torch.zeros((), dtype=torch.float64, device=split.y.device)
    loss = torch.zeros((), dtype=torch.float64, device=split.y.device)
    with _Evaluation(network):
        for begin in range(0, len(split), BATCH):
            x, y = split.x[begin : begin + BATCH], split.y[begin : begin + BATCH]
            logits = network(x)
            right += (logits.argmax(1) == y).sum()
            loss += F.cross_entropy(logits, y, reduction="sum")
    rows = len(split)
    return Score(float(right) / rows, float(loss) / rows) if rows else Score(float("nan"), float("nan"))


@torch.no_grad()
def probabilities(network: Network, x: Tensor) -> NDArray[np.float32]:
    """(N, classes)."""
    with _Evaluation(network):
        values: NDArray[np.float32] = network(x).softmax(1).cpu().numpy()
    return values


class _Evaluation:
    """Evaluation mode for the time of a `with`."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def __enter__(self) -> None:
        self._network.eval()

    def __exit__(self, *_: object) -> None:
        self._network.train()
