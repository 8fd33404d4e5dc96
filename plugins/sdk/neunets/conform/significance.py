"""Whether one sample of runs is better than another one beyond chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["signed_rank"]


def signed_rank(differences: Sequence[float]) -> float:
    """p of the differences of pairs being no larger than 0: Wilcoxon's signed-rank test, one-sided and exact.

    Pairs without a difference tell nothing; 1 where no pair has one.
    """
    told = np.array([each for each in differences if each])
    if not len(told):
        return 1.0
    _, places, counts = np.unique(np.abs(told), return_inverse=True, return_counts=True)
    # Twice the ranks, so that the mean rank of ties is an integer.
    doubled = (2 * np.cumsum(counts) - counts + 1)[places]
    ways = np.ones(1)
    for rank in doubled:  # how many choices of signs have each sum of the ranks above 0
        longer = np.zeros(len(ways) + rank)
        longer[: len(ways)] += ways
        longer[rank:] += ways
        ways = longer / 2.0
    return float(min(1.0, ways[doubled[told > 0.0].sum() :].sum()))
