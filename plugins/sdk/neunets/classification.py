"""How good a classifier is, from its confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ClassMeasures", "confusion_of", "ratio"]


@dataclass(frozen=True, slots=True)
class ClassMeasures:
    """Fractions by class (classes,); NaN: a ratio to nothing, of a class without rows or that was never predicted."""

    confusion: NDArray[np.int64]  # (classes, classes) numbers of rows: by true class, then by predicted class
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]  # rows of each class

    @staticmethod
    def of(confusion: NDArray[np.int64]) -> ClassMeasures:
        right, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
        f1 = ratio(2 * right, support + predicted)
        return ClassMeasures(confusion, ratio(right, predicted), ratio(right, support), f1, support)

    @property
    def accuracy(self) -> float:
        return float(np.diag(self.confusion).sum() / self.support.sum())

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have rows."""
        return float(self.recall[self.support > 0].mean())

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that have rows."""
        return float(self.f1[self.support > 0].mean())


def confusion_of(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """(classes, classes): by true class, then by predicted class; of class indices (N,)."""
    counts: NDArray[np.int64] = np.bincount(labels * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes)


def ratio(parts: NDArray[Any], wholes: NDArray[Any]) -> NDArray[np.float64]:
    """NaN where the whole is 0."""
    ratios = np.full(len(parts), np.nan)
    np.divide(parts, wholes, out=ratios, where=wholes != 0)
    return ratios
