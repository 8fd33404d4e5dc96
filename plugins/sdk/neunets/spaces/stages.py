"""A stem, then stages of cells, each of half the extents and twice the filters: what spaces of cells have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from neunets.graph import Input
from neunets.spaces.build import DROPOUTS, FILTERS, Draft, Layer, halvings
from neunets.spaces.narrow import channels
from neunets.spaces.parameters import Configuration, Parameter, value_of, whole

__all__ = ["Stages", "stage_entries"]

MOST_STAGES: Final = 3
# Cells have many layers: on larger maps they would take too long, so that the stem pools.
MOST_POSITIONS: Final = 1024


@dataclass(frozen=True, slots=True)
class Stages:
    """`count` of them, with so many `cells` each. `filters`: of the first one."""

    count: int
    cells: int
    filters: float
    stem_pools: int
    dropout: float

    @staticmethod
    def of(source: Input, configuration: Configuration, factor: float = 1.0) -> Stages:
        """`factor`: of all widths."""
        pools = value_of(configuration, "stem_pools", int)
        return Stages(
            min(halvings(source) - pools + 1, MOST_STAGES),
            value_of(configuration, "cells", int),
            value_of(configuration, "filters", int) * factor,
            pools,
            value_of(configuration, "dropout", float),
        )

    def channels(self, stage: int) -> int:
        """`stage`: from 0."""
        return channels(self.filters * 2**stage)

    def stem(self, draft: Draft, source: str) -> str:
        """A convolution for each pool, or one without."""
        for number in range(1, max(self.stem_pools, 1) + 1):
            pool = "max_pool" if number <= self.stem_pools else ""
            source = draft.layer(f"stem{number}", source, Layer("conv", self.channels(0), 3, pool=pool))
        return source


def stage_entries(source: Input, cells: int) -> tuple[Parameter, ...]:
    """`cells` of a stage: at most."""
    least, most = _stem_pools(source)
    return (
        Parameter("filters", FILTERS, True),
        whole("cells", 1, cells),
        whole("stem_pools", least, most),
        Parameter("dropout", DROPOUTS, True),
    )


def _stem_pools(source: Input) -> tuple[int, int]:
    """Fewest and most; these leave the stages as they are. One halving is left for stages, where there is one."""
    count, axes, least = halvings(source), len(source.shape) - 1, 0
    while least < count - 1 and math.prod(source.shape[:-1]) >> (axes * least) > MOST_POSITIONS:
        least += 1
    return least, max(least, min(least + 1, count - MOST_STAGES + 1))
