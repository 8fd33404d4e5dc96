"""A few candidates of which on each data set one does well, chosen by how all of them have done on others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["portfolio", "weights_of"]

# Where a candidate was not tried: neither good nor bad.
UNKNOWN, WORST = 0.5, 1.0

Array = NDArray[np.float64]


def portfolio(ranks: Array, weights: Array, count: int) -> list[int]:
    """At most `count` candidates in the order in which each lowers the weighted sum of the best ranks the most.

    `ranks` (T, C): of candidate c on data set t, from 0 for the best to 1; NaN where it was not tried. `weights` (T,).
    Of equals the first. The gain is submodular, so that the best choice gains no more than this one over 1 - 1/e.
    After Wistuba et al., ICDM 2015, whose data sets all weigh the same.
    """
    known = np.where(np.isnan(ranks), UNKNOWN, ranks)
    reached, chosen = np.full(len(known), WORST), list[int]()
    for _ in range(min(count, known.shape[1])):
        # Row by row, so that equal columns have equal sums.
        sums = (weights[:, np.newaxis] * np.minimum(reached[:, np.newaxis], known)).sum(axis=0)
        sums[chosen] = np.inf
        chosen.append(int(sums.argmin()))
        reached = np.minimum(reached, known[:, chosen[-1]])
    return chosen


def weights_of(distances: Array) -> Array:
    """(T,) from 1 for the same data downwards; `distances` (T,) of data sets, not below 0."""
    positive = distances[distances > 0.0]
    scale = float(np.median(positive)) if len(positive) else 1.0
    weights: Array = np.exp(-distances / scale)
    return weights
