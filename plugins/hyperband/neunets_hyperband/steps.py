"""What may be trained next: a new network, or one that goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from neunets_hyperband.trainings import Training

__all__ = ["Affords", "Step"]

# Whether there is time to train a network on, up to a rung.
Affords: TypeAlias = Callable[[Training, int], bool]


@dataclass(frozen=True, slots=True)
class Step:
    """A training up to a rung. `before`: the one that it continues; None: of a new network.

    `among`: results of the rung below that were compared.
    """

    rung: int
    bracket: int = 0
    before: Training | None = None
    among: int = 0
