"""What earlier runs have learned on other data, as a synthesizer is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from neunets.graph import Graph, Input

__all__ = ["Experience", "PastTrial"]

_NO_FIGURES: Final[Mapping[str, float]] = MappingProxyType({})
_NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PastTrial:
    """A search trial of an earlier run, as it was proposed. `metrics`, `device_s`: of its end.

    `graph`: None where the teller left it out.
    """

    synthesizer: str
    graph: Graph | None
    labels: Mapping[str, str] = field(default_factory=lambda: _NO_LABELS)
    metrics: Mapping[str, float] = field(default_factory=lambda: _NO_FIGURES)
    device_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Experience:
    """Of one data set: what it is like, and its best trials first.

    `distance`: of its meta-features from those of the problem, 0: the same data.
    """

    input: Input
    classes: int
    train_rows: int
    distance: float
    trials: tuple[PastTrial, ...]
    mirror_keeps_class: bool | None = None
    meta_features: Mapping[str, float] = field(default_factory=lambda: _NO_FIGURES)
