"""How good predictions are, class by class, and how far their probabilities can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from neunets.classification import ClassMeasures, confusion_of, ratio
from neunets.errors import NeunetsError

__all__ = ["Bin", "Calibration", "ClassScore", "Measures", "measure"]

BINS: Final = 15  # as in the tables of Guo et al.
BLOCK: Final = 4096


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Fractions; NaN: a ratio to nothing, of a class that no row has or that was never predicted."""

    precision: float
    recall: float
    f1: float
    support: int  # rows of this class


@dataclass(frozen=True, slots=True)
class Bin:
    """The rows whose confidence, the largest probability, is in (low, high]; NaN: there are none."""

    low: float
    high: float
    rows: int
    confidence: float  # mean
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """`ece`: expected calibration error, the mean over rows of |accuracy - confidence| of their bins, 0..1.

    Bins of equal width: Guo et al., arXiv:1706.04599. `brier`: mean squared distance of the probabilities from
    the one-hot label, 0..2, summed over classes as in Brier, "Verification of forecasts", 1950.
    """

    ece: float
    brier: float
    mean_confidence: float
    bins: tuple[Bin, ...]  # from 0 to 1


@dataclass(frozen=True, slots=True)
class Measures:
    """Fractions; both means are over the classes that have rows."""

    accuracy: float
    balanced_accuracy: float  # mean recall
    macro_f1: float
    classes: tuple[ClassScore, ...]
    confusion: NDArray[np.int64]  # (classes, classes) numbers of rows: by true class, then by predicted class
    calibration: Calibration


def measure(probabilities: NDArray[Any], labels: NDArray[Any], classes: int) -> Measures:
    """`probabilities` (N, classes), `labels` (N,) class indices. The first of equal probabilities is predicted.

    Raises: NeunetsError where the shapes or labels do not fit, a probability is not finite, or there is no row.
    """
    if not len(labels) or probabilities.shape != (*labels.shape, classes):
        shapes = f"probabilities of shape {probabilities.shape} for labels of shape {labels.shape}"
        raise NeunetsError(f"{shapes} and {classes} classes")
    if not 0 <= labels.min() <= labels.max() < classes:
        raise NeunetsError(f"labels {labels.min()} to {labels.max()} for {classes} classes")
    if not np.isfinite(probabilities).all():
        raise NeunetsError("a predicted probability is not a number")
    predicted = probabilities.argmax(axis=1)
    found = ClassMeasures.of(confusion_of(labels, predicted, classes))
    columns = (found.precision, found.recall, found.f1, found.support)
    return Measures(
        accuracy=found.accuracy,
        balanced_accuracy=found.balanced_accuracy,
        macro_f1=found.macro_f1,
        classes=tuple(map(ClassScore, *(column.tolist() for column in columns))),
        confusion=found.confusion,
        calibration=_calibration(probabilities, labels, predicted),
    )


def _calibration(probabilities: NDArray[Any], labels: NDArray[Any], predicted: NDArray[Any]) -> Calibration:
    rows = np.arange(len(labels))
    confidence = probabilities[rows, predicted].astype(np.float64)
    edges = np.linspace(0.0, 1.0, BINS + 1)
    bins = np.searchsorted(edges[1:-1], confidence)
    counts = np.bincount(bins, minlength=BINS)
    accuracies = ratio(np.bincount(bins, predicted == labels, BINS), counts)
    confidences = ratio(np.bincount(bins, confidence, BINS), counts)
    gaps = np.nan_to_num(np.abs(accuracies - confidences))
    columns = zip(counts.tolist(), confidences.tolist(), accuracies.tolist(), strict=True)
    return Calibration(
        ece=float(gaps @ counts / len(labels)),
        brier=_brier(probabilities, labels),
        mean_confidence=float(confidence.mean()),
        bins=tuple(Bin(number / BINS, (number + 1) / BINS, *column) for number, column in enumerate(columns)),
    )


def _brier(probabilities: NDArray[Any], labels: NDArray[Any]) -> float:
    """In blocks, so that a large test set is not copied whole."""
    total = 0.0
    for start in range(0, len(labels), BLOCK):
        distance = probabilities[start : start + BLOCK].astype(np.float64)
        block = labels[start : start + BLOCK]
        distance[np.arange(len(block)), block] -= 1.0
        total += float(np.square(distance).sum())
    return total / len(labels)
