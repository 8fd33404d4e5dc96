"""The model of BOHB: one density of good configurations, one of all others, each over all parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from neunets.spaces.parameters import Configuration, Parameters

__all__ = ["KernelModel", "kernel_model"]

TOP_PERCENT: Final = 15
CANDIDATES: Final = 64
# What is drawn around a good point lies wider than its kernel.
BANDWIDTH_FACTOR: Final = 3.0
SMALLEST_BANDWIDTH: Final = 1e-3
SMALLEST_DENSITY: Final = 1e-32

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Kinds:
    """Of each parameter: how many values it has, and whether they are ordered."""

    counts: Array  # (D,)
    is_ordered: NDArray[np.bool_]  # (D,)

    @staticmethod
    def of(parameters: Parameters) -> _Kinds:
        counts = np.array([len(entry.values) for entry in parameters], np.float64)
        return _Kinds(counts, np.array([entry.is_ordered for entry in parameters]))


@dataclass(frozen=True, slots=True)
class _Density:
    """Mean of product kernels: Gaussian for ordered parameters, that of Aitchison and Aitken for the others."""

    points: Array  # (N, D) places in 0..1
    bandwidths: Array  # (D,)
    kinds: _Kinds

    @staticmethod
    def of(points: Array, kinds: _Kinds) -> _Density:
        """With the bandwidths of the normal reference rule; of unordered parameters, of the numbers of their values."""
        rows, dimensions = points.shape
        deviations = points.std(axis=0) * np.where(kinds.is_ordered, 1.0, kinds.counts)
        widths = 1.06 * deviations * rows ** (-1.0 / (4 + dimensions))
        most = np.where(kinds.is_ordered, np.inf, 1.0 - 1.0 / kinds.counts)
        return _Density(points, np.minimum(np.maximum(widths, SMALLEST_BANDWIDTH), most), kinds)

    def at(self, places: Array) -> Array:
        """(M,) densities at places (M, D)."""
        logs = np.zeros((len(places), len(self.points)))
        for axis, (width, count) in enumerate(zip(self.bandwidths, self.kinds.counts, strict=True)):
            gaps = places[:, axis, np.newaxis] - self.points[:, axis]
            if self.kinds.is_ordered[axis]:
                logs -= 0.5 * (gaps / width) ** 2 + math.log(width * math.sqrt(2.0 * math.pi))
            elif count > 1:
                logs += np.where(np.abs(gaps) < 0.5 / count, math.log1p(-width), math.log(width / (count - 1)))
        return np.asarray(np.exp(logs).mean(axis=1))

    def around(self, count: int, rng: np.random.Generator) -> Array:
        """(count, D): each of one of its points."""
        means = self.points[rng.integers(len(self.points), size=count)]
        ordered = _truncated_normal(means, np.broadcast_to(BANDWIDTH_FACTOR * self.bandwidths, means.shape), rng)
        anywhere = (np.floor(rng.random(means.shape) * self.kinds.counts) + 0.5) / self.kinds.counts
        others = np.where(rng.random(means.shape) < 1.0 - self.bandwidths, means, anywhere)
        return np.where(self.kinds.is_ordered, ordered, others)


@dataclass(frozen=True, slots=True)
class KernelModel:
    parameters: Parameters
    good: _Density
    bad: _Density

    def draw(self, rng: np.random.Generator) -> Configuration:
        """Of 64 around good points, the one where good points are densest in relation to the others."""
        places = self.good.around(CANDIDATES, rng)
        good, bad = (np.maximum(density.at(places), SMALLEST_DENSITY) for density in (self.good, self.bad))
        return self.parameters.decode(places[np.argmin(bad / good)])


def kernel_model(parameters: Parameters, places: Array, values: Array, rng: np.random.Generator) -> KernelModel | None:
    """Of configurations at places (N, D), not numbers where inactive, and how good they are (N,).

    Falkner et al., arXiv:1807.01774, with the numbers of github.com/automl/HpBandSter. None: there are too few.
    """
    rows, dimensions = places.shape
    fewest = dimensions + 1
    good_rows = max(fewest, TOP_PERCENT * rows // 100)
    bad_rows = max(fewest, (100 - TOP_PERCENT) * rows // 100)
    order = np.argsort(-values, kind="stable")
    best, others = order[:good_rows], order[good_rows : good_rows + bad_rows]
    if len(best) < fewest or len(others) < fewest or not np.isfinite(values[best]).all():
        return None
    kinds = _Kinds.of(parameters)
    good, bad = (_Density.of(_imputed(places[part], kinds, rng), kinds) for part in (best, others))
    return KernelModel(parameters, good, bad)


def _imputed(places: Array, kinds: _Kinds, rng: np.random.Generator) -> Array:
    """An inactive parameter has the place of another point where it is active, else any that is legal."""
    made = places.copy()
    for axis, count in enumerate(kinds.counts):
        column = made[:, axis]
        is_missing = np.isnan(column)
        known = column[~is_missing]
        missing = int(is_missing.sum())
        anywhere = (np.floor(rng.random(missing) * count) + 0.5) / count
        column[is_missing] = rng.choice(known, missing) if len(known) else anywhere
    return made


def _truncated_normal(means: Array, deviations: Array, rng: np.random.Generator) -> Array:
    """Within 0..1; at least a fifth of the draws are, since no mean lies outside."""
    drawn = rng.normal(means, deviations)
    while (is_outside := (drawn < 0.0) | (drawn > 1.0)).any():
        drawn[is_outside] = rng.normal(means[is_outside], deviations[is_outside])
    return drawn
