"""How good a network is, and its probabilities, in float32: what the exported file will compute."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from neunets.classification import ClassMeasures, confusion_of
from neunets_trainer.build import Network
from neunets_trainer.data import Split

__all__ = ["Score", "logits_of", "measures", "predict", "score", "score_of"]

# Examples at once, and values of one channel: large images would fill the memory that their training leaves free.
BATCH, BATCH_PIXELS = 256, 256 * 32 * 32


@dataclass(frozen=True, slots=True)
class Score:
    """Fractions; means over the classes that have rows."""

    accuracy: float
    balanced_accuracy: float  # mean recall
    macro_f1: float
    loss: float  # mean cross entropy, nats

    def metrics(self, split: str) -> dict[str, float]:
        """By their names on the wire, such as "valid_accuracy"."""
        return {
            f"{split}_accuracy": self.accuracy,
            f"{split}_balanced_accuracy": self.balanced_accuracy,
            f"{split}_macro_f1": self.macro_f1,
            f"{split}_loss": self.loss,
        }


def logits_of(network: Network, x: Tensor, with_mirror: bool = False) -> Tensor:
    """(N, classes); `with_mirror`: the mean of those of the images and of their mirrors. Sequences have no mirror."""
    logits: Tensor = network(x)
    return (logits + network(x.flip(2))) / 2 if with_mirror and x.ndim == 4 else logits


@torch.no_grad()
def score(network: Network, split: Split, with_mirror: bool = False, rows: int | None = None) -> Score:
    """Over the first `rows`, or all. NaN where there are none."""
    loss = torch.zeros((), dtype=torch.float64, device=split.y.device)
    counts: Tensor | None = None
    with _Evaluation(network):
        for x, y in split.blocks(_batch(split), rows):
            logits = logits_of(network, x, with_mirror)
            classes = logits.shape[1]
            counts = torch.zeros(classes**2, dtype=torch.int64, device=y.device) if counts is None else counts
            counts += torch.bincount(y * classes + logits.argmax(1), minlength=classes**2)
            loss += F.cross_entropy(logits, y, reduction="sum")
    if counts is None:
        return Score(float("nan"), float("nan"), float("nan"), float("nan"))
    side = int(len(counts) ** 0.5)
    return measures(counts.reshape(side, side).cpu().numpy(), float(loss))


def measures(confusion: NDArray[np.int64], loss_sum: float) -> Score:
    """`confusion` (classes, classes): rows by true class, columns by predicted class; not empty."""
    found = ClassMeasures.of(confusion)
    rows = int(confusion.sum())
    return Score(found.accuracy, found.balanced_accuracy, found.macro_f1, loss_sum / rows)


@torch.no_grad()
def predict(network: Network, split: Split, with_mirror: bool = False, rows: int | None = None) -> NDArray[np.float32]:
    """Probabilities (rows, classes)."""
    with _Evaluation(network):
        parts = [logits_of(network, x, with_mirror).softmax(1).cpu() for x, _ in split.blocks(_batch(split), rows)]
    values: NDArray[np.float32] = torch.cat(parts).numpy()
    return values


def score_of(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Score:
    """Of probabilities (N, classes) for examples with `labels` (N,), N > 0."""
    rows, classes = probabilities.shape
    likelihood = probabilities[np.arange(rows), labels].astype(np.float64)
    loss = -np.log(np.maximum(likelihood, np.finfo(np.float32).tiny)).sum()
    return measures(confusion_of(labels, probabilities.argmax(1), classes), float(loss))


def _batch(split: Split) -> int:
    extents = split.stored.shape[1:-1]
    return max(1, min(BATCH, BATCH_PIXELS // math.prod(extents)))


class _Evaluation:
    """Evaluation mode for the time of a `with`."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def __enter__(self) -> None:
        self._network.eval()

    def __exit__(self, *_: object) -> None:
        self._network.train()
