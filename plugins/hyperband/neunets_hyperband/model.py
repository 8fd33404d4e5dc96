"""What is known of configurations: the model of the highest rung that has enough results for one."""

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

__all__ = ["Guide", "Model", "Results", "guide_of"]

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


@dataclass(frozen=True, slots=True)
class Guide:
    """A model of so many `results` of a rung."""

    model: Model
    results: int
    rung: int


def guide_of(
    modelling: Modelling, parameters: Parameters, rungs: Sequence[Results], rng: np.random.Generator
) -> Guide | None:
    """`rungs`: from the lowest one up: longer trainings say more, so that those below count for nothing."""
    for rung in reversed(range(len(rungs))):
        places, values = rungs[rung].places, rungs[rung].values
        model: Model | None = None
        if modelling is Modelling.TPE:
            model = parzen_model(parameters, places, values)
        elif modelling is Modelling.KDE:
            model = kernel_model(parameters, places, values, rng)
        if model is not None:
            return Guide(model, len(values), rung)
    return None
