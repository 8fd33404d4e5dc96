"""Tree-structured Parzen estimators: for each parameter one density of good values, and one of all others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from neunets.spaces.parameters import Configuration, Parameter, Parameters, Value

__all__ = ["ParzenModel", "parzen_model"]

FEWEST_RESULTS: Final = 10
TOP_SHARE: Final = 0.15
FEWEST_GOOD: Final = 3
# Configurations of which the best is taken. The best of 24 for each parameter, as in hyperopt, is the same again and
# again: from 60 to 120 results of three made-up spaces it came on by a twentieth, these by a quarter.
CANDIDATES: Final = 4
# Results that the even distribution, which every density is mixed with, counts for.
PRIOR: Final = 1.0

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Odds:
    """Of each value (V,): its probability among the good ones, and the logarithm of it over that among the others."""

    chances: Array
    gains: Array


@dataclass(frozen=True, slots=True)
class ParzenModel:
    parameters: Parameters
    odds: tuple[_Odds, ...]

    def draw(self, rng: np.random.Generator) -> Configuration:
        """Of four whose values are drawn of the good densities, the one that is rarest among the others."""
        drawn = [self._drawn(rng) for _ in range(CANDIDATES)]
        return max(drawn, key=lambda each: each[0])[1]

    def _drawn(self, rng: np.random.Generator) -> tuple[float, Configuration]:
        """A configuration with its gain: each parameter that the ones before it make active."""
        made, gain = dict[str, Value](), 0.0
        for entry, odds in zip(self.parameters, self.odds, strict=True):
            if entry.is_active(made):
                place = rng.choice(len(entry.values), p=odds.chances)
                made[entry.name] = entry.values[place]
                gain += float(odds.gains[place])
        return gain, made


def parzen_model(parameters: Parameters, places: Array, values: Array) -> ParzenModel | None:
    """Of configurations at places (N, D), not numbers where inactive, and how good they are (N,).

    Bergstra et al., NIPS 2011; values are finitely many, so that densities are sums over them and exact.
    None: there are too few.
    """
    good_rows = max(FEWEST_GOOD, math.ceil(TOP_SHARE * len(values)))
    order = np.argsort(-values, kind="stable")
    best, others = order[:good_rows], order[good_rows:]
    if len(values) < FEWEST_RESULTS or not np.isfinite(values[best]).all():
        return None
    odds = list[_Odds]()
    for entry, column in zip(parameters, places.T, strict=True):
        good, bad = (_density(entry, column[part]) for part in (best, others))
        odds.append(_Odds(good, np.log(good / bad)))
    return ParzenModel(parameters, tuple(odds))


def _density(entry: Parameter, places: Array) -> Array:
    """(V,) probabilities of the values, of those of them at `places` that are active."""
    active, count = places[~np.isnan(places)], len(entry.values)
    prior = np.full(count, PRIOR / count)
    if entry.is_ordered and len(active):
        grid = (np.arange(count) + 0.5) / count
        # Scott's rule, but no narrower than so many values that lie evenly.
        width = max(1.06 * active.std() * len(active) ** -0.2, 1.0 / (len(active) + 1))
        kernels = np.exp(-0.5 * ((grid[:, np.newaxis] - active) / width) ** 2)
        seen = (kernels / kernels.sum(axis=0)).sum(axis=1)
    else:
        seen = np.bincount((active * count).astype(np.int64), minlength=count).astype(np.float64)
    return np.asarray((seen + prior) / (len(active) + PRIOR))
