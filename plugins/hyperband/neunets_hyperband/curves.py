"""Where a learning curve goes: parametric families are fitted to what was measured, and weighted by how they fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST_ENDS", "FEWEST_POINTS", "Forecast", "forecast", "miss", "regressed", "widened"]

FEWEST_POINTS: Final = 4
# Standard deviation of a measurement about its curve, as believed before there is one, and for how many that counts.
NOISE, NOISE_COUNTS = 0.01, 2.0
# Of a finished curve, the part of the training after which its end is forecast to learn how far forecasts miss.
HINDSIGHT: Final = 0.5
# Misses that the belief in forecasts counts for.
BELIEF: Final = 4.0
# Ends whose upper third says how rare better ones are.
FEWEST_ENDS: Final = 6
SMALLEST_EXCESS, MOST_LOWER = 1e-4, 3.0

Array = NDArray[np.float64]

_POWERS: Final = -np.geomspace(0.1, 2.5, 8)[:, np.newaxis]
_DECAYS: Final = np.geomspace(0.03, 1.0, 8)[:, np.newaxis]
_SCALES, _RATES = (grid.reshape(-1, 1) for grid in np.meshgrid((0.02, 0.08, 0.3), (0.5, 1.0, 2.0)))


@dataclass(frozen=True, slots=True)
class Forecast:
    """Of the value at the end of a training."""

    mean: float
    deviation: float

    def chance_above(self, value: float) -> float:
        return 0.5 * math.erfc((value - self.mean) / (self.deviation * math.sqrt(2.0)))


def forecast(curve: Mapping[float, float], end: float) -> Forecast | None:
    """Of a `curve`, epoch → accuracy, at epoch `end`. None: there are too few points.

    Each family is a + b * shape(epoch), with b <= 0 as all shapes fall: a grid of shapes, of each the best a and b by
    least squares. Powers, exponentials and log powers, three of the families of Domhan et al., IJCAI 2015.
    """
    points = sorted((epoch, value) for epoch, value in curve.items() if 0.0 < epoch <= end)
    if len(points) < FEWEST_POINTS:
        return None
    epochs, values = np.array(points).T
    shapes, last = _shapes(epochs / end), _shapes(np.ones(1))[:, 0]
    count = len(values)
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    spread = np.maximum((centred**2).sum(axis=1), 1e-12)
    slopes = np.minimum(centred @ (values - values.mean()) / spread, 0.0)
    residuals = values - values.mean() - slopes[:, np.newaxis] * centred
    squares = (residuals**2).sum(axis=1) + NOISE_COUNTS * NOISE**2
    ahead = last - shapes.mean(axis=1)
    means = np.clip(values.mean() + slopes * ahead, 0.0, 1.0)
    variances = squares / (count - 2 + NOISE_COUNTS) * (1.0 + 1.0 / count + ahead**2 / spread)
    weights = (squares / squares.min()) ** (-0.5 * count)
    weights /= weights.sum()
    mean = float(weights @ means)
    return Forecast(mean, math.sqrt(float(weights @ (variances + (means - mean) ** 2))))


def miss(curve: Mapping[float, float], end: float) -> float | None:
    """By how many deviations the end of a finished curve was missed, half of the training before it.

    None: it has too few points.
    """
    reached = max((epoch for epoch in curve if epoch <= end), default=0.0)
    early = {epoch: value for epoch, value in curve.items() if epoch <= HINDSIGHT * reached}
    found = forecast(early, reached)
    return None if found is None else (curve[reached] - found.mean) / found.deviation


def widened(found: Forecast, misses: Sequence[float]) -> Forecast:
    """As uncertain as earlier `misses` show that forecasts of this run are; never more certain."""
    scale = math.sqrt((BELIEF + sum(each**2 for each in misses)) / (BELIEF + len(misses)))
    return replace(found, deviation=found.deviation * max(1.0, scale))


def regressed(found: Forecast, ends: Sequence[float]) -> Forecast:
    """As much nearer to the `ends` of other trainings as the best of those say: few are far above them.

    Their upper third falls off exponentially above its threshold; a normal forecast times that is normal, with a mean
    that is lower by variance / mean excess. No lower than three deviations, and by nothing where there are few ends.
    """
    if len(ends) < FEWEST_ENDS:
        return found
    third = len(ends) // 3
    threshold, *above = sorted(ends)[-third - 1 :]
    excess = float(np.mean(above)) - threshold
    lower = found.deviation**2 / max(excess, SMALLEST_EXCESS)
    return replace(found, mean=found.mean - min(lower, MOST_LOWER * found.deviation))


def _shapes(times: Array) -> Array:
    """(K, N): falling functions of times (N,), in parts of the whole training."""
    logarithmic = 1.0 / (1.0 + (times / _SCALES) ** _RATES)
    return np.concatenate([times**_POWERS, np.exp(-times / _DECAYS), logarithmic])
