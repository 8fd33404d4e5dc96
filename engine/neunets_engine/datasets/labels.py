"""From labels as a source has them to indices into the classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from neunets_engine.datasets.multilabel import MULTILABEL
from neunets_engine.datasets.source import Array, refusal

__all__ = ["case_warnings", "distinct", "numbered"]


def distinct(source: object, labels: Array) -> list[Any]:
    """The values of the training labels (N,), in order: whole numbers, strings or bytes."""
    if labels.ndim == 2 and labels.dtype.kind in "biuf" and ((labels == 0) | (labels == 1)).all():
        ones = labels.sum(axis=1)
        if (ones > 1).any():
            row = int(np.argmax(ones > 1))
            text = f"y_train[{row}] has {int(ones[row])} classes that are 1 (multi-label)"
            raise refusal(source, text, MULTILABEL)
    if labels.ndim != 1:
        raise refusal(source, f"y_train has the shape {labels.shape}", "one label an example is needed: (N,)")
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all():
            row = int(np.argmin(np.isfinite(labels)))
            raise refusal(source, f"y_train[{row}] is {labels[row]}", "give every example a label")
        if (labels != np.round(labels)).any():
            raise refusal(source, "y_train holds fractions", "labels are whole numbers or strings")
    elif labels.dtype.kind not in "iubUS":
        raise refusal(source, f"y_train is of type {labels.dtype}", "labels are whole numbers or strings")
    values: list[Any] = np.unique(labels).tolist()
    return list(map(int, values)) if labels.dtype.kind == "f" else values


def numbered(source: object, name: str, labels: Array, values: Sequence[Any]) -> Array:
    """(N,) int64: the places of the labels in `values`."""
    number = {value: index for index, value in enumerate(values)}
    try:
        return np.array([number[value] for value in labels.tolist()], np.int64)
    except (KeyError, TypeError) as error:
        raise refusal(source, f"the label {error} of {name} is not in y_train", "remove those rows") from None


def case_warnings(names: Sequence[str]) -> tuple[str, ...]:
    """Of classes that differ by case alone."""
    folded = Counter(name.casefold() for name in names)
    twins = [name for name in names if folded[name.casefold()] > 1]
    return (f"the classes {twins[0]!r} and {twins[1]!r} differ by case alone",) if twins else ()
