"""Seeded, stratified splits: each class gives its share, at least one example and never its last two."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neunets.draws import generator

__all__ = ["held_out"]


def held_out(labels: NDArray[Any], fraction: float, seed: int, sequence: int) -> NDArray[np.bool_]:
    """(N,) bool: the rows that are set aside. `sequence` tells the splits of one seed apart."""
    rng = generator(seed, sequence)
    aside = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        aside[rows[: min(max(1, round(fraction * len(rows))), len(rows) - 1)]] = True
    return aside
