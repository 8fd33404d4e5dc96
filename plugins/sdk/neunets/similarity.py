"""How far data sets are from one another, by what they are like."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["distances", "features_of"]

EXTENTS: Final[Mapping[int, tuple[str, ...]]] = {2: ("length", "channels"), 3: ("height", "width", "channels")}


def features_of(
    meta_features: Mapping[str, float], train_rows: int, classes: int, shape: Sequence[int]
) -> dict[str, float]:
    """The numbers by which a data set is compared; `shape` of an example, channels last: (H, W, C) or (L, C).

    What is not finite is left out.
    """
    rows, kinds = max(train_rows, 1), max(classes, 1)
    logarithms = {
        "log(train_rows)": math.log(rows),
        "log(classes)": math.log(kinds),
        "log(rows of a class)": math.log(rows / kinds),
    }
    extents = dict(zip(EXTENTS.get(len(shape), ()), map(float, shape), strict=False))
    return {name: value for name, value in {**meta_features, **logarithms, **extents}.items() if math.isfinite(value)}


def distances(of: Mapping[str, float], known: Sequence[Mapping[str, float]]) -> list[float]:
    """Of each of the `known` from `of`: the sum of their differences, each feature scaled to 0..1 over all of them.

    A feature that only one of two has counts as the largest difference, 1. As auto-sklearn compares data sets, which
    scales over the known ones alone: Feurer et al., "Efficient and robust automated machine learning", NIPS 2015.
    """
    lowest, highest = dict(of), dict(of)
    for features in known:
        for name, value in features.items():
            lowest[name] = min(value, lowest.get(name, value))
            highest[name] = max(value, highest.get(name, value))
    spans = {name: highest[name] - low for name, low in lowest.items()}
    return [_distance(of, features, spans) for features in known]


def _distance(one: Mapping[str, float], other: Mapping[str, float], spans: Mapping[str, float]) -> float:
    shared = (name for name in one.keys() & other.keys() if spans[name] > 0.0)
    apart = math.fsum(abs(one[name] - other[name]) / spans[name] for name in shared)  # the same in any order
    return apart + len(one.keys() ^ other.keys())
