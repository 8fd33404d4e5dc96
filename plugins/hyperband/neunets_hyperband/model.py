"""What is known of configurations: a model of the results so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neunets.spaces.parameters import Configuration, Parameters
from neunets_hyperband.kde import kernel_model
from neunets_hyperband.settings import Modelling
from neunets_hyperband.tpe import parzen_model

__all__ = ["Guide", "Model", "Results", "guide_of", "ranked"]

Array = NDArray[np.float64]


class Model(Protocol):
    """Draws configurations that promise much."""

    def draw(self, rng: np.random.Generator) -> Configuration:
        """A new one; also one that was drawn before."""


@dataclass(frozen=True, slots=True)
class Results:
    """Of one rung. `places`: of configurations, not a number where a parameter is not active."""

    places: Array  # (N, D)
    values: Array  # (N,), minus infinity where the training failed
    went_on: NDArray[np.bool_]  # (N,), to a result of a higher rung


@dataclass(frozen=True, slots=True)
class Guide:
    """A model of so many `results`. `rung`: of which they are; None: of all."""

    model: Model
    results: int
    rung: int | None


def guide_of(
    modelling: Modelling, parameters: Parameters, rungs: Sequence[Results], rng: np.random.Generator
) -> Guide | None:
    """`rungs`: from the lowest one up. None: there are too few results."""
    match modelling:
        case Modelling.TPE:
            places, values = ranked(rungs)
            parzen = parzen_model(parameters, places, values)
            return None if parzen is None else Guide(parzen, len(values), None)
        case Modelling.KDE:
            # Longer trainings say more: those below count for nothing (Falkner et al., arXiv:1807.01774, section 4).
            for rung in reversed(range(len(rungs))):
                kernels = kernel_model(parameters, rungs[rung].places, rungs[rung].values, rng)
                if kernels is not None:
                    return Guide(kernels, len(rungs[rung].values), rung)
    return None


def ranked(rungs: Sequence[Results]) -> tuple[Array, Array]:
    """Of each configuration one place, and one value, which orders all: places (N, D), values (N,).

    Who has come to a higher rung is before those who have not, as in Optuna's sampler; on one rung the results decide.
    So the densities see what was left behind, which those of the survivors alone have forgotten.
    """
    ends = [~each.went_on for each in rungs]
    places = np.concatenate([each.places[is_end] for each, is_end in zip(rungs, ends, strict=True)])
    values = np.concatenate([each.values[is_end] for each, is_end in zip(rungs, ends, strict=True)])
    heights = np.repeat(np.arange(len(rungs)), [int(is_end.sum()) for is_end in ends])
    order = np.lexsort((values, heights))
    scores = np.empty(len(values))
    scores[order] = np.arange(len(values), dtype=np.float64)
    return places, np.where(np.isfinite(values), scores, -np.inf)
