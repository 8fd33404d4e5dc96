"""What has done well on other data: the networks that a run may begin with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from zlib import crc32

import numpy as np

from neunets.canonical import canonical_hash
from neunets.draws import generator
from neunets.portfolio import portfolio, weights_of
from neunets.sentences import sentence
from neunets.spaces import SPACES, Configuration, Designs, Value
from neunets.synthesizer import Experience, PastTrial, Problem, Recipe
from neunets_hyperband.first_day import compared
from neunets_hyperband.settings import MOST_WARM
from neunets_hyperband.trainings import DESIGN

__all__ = ["Start", "Warm", "starts_of"]

# Data sets of earlier runs, with which those of the first day count no more.
ENOUGH: Final = 3
# Stands in place of a candidate's number where what other data leave open is drawn.
TRANSFERS: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Start:
    """`why`: for people; `source`: whose it was, in a few words."""

    configuration: Configuration
    why: str
    source: str


class Warm:
    """The starts of one run, which are asked for when they are wanted, and once."""

    def __init__(self, problem: Problem, designs: Designs, first_day: Sequence[Experience], seed: int) -> None:
        self._problem, self._designs, self._first_day, self._seed = problem, designs, first_day, seed
        self._found: tuple[Start, ...] | None = None

    def starts(self) -> tuple[Start, ...]:
        """The best first."""
        if self._found is None:
            self._found = starts_of(self._problem, self._designs, self._experiences(), self._seed)
        return self._found

    def _experiences(self) -> Sequence[Experience]:
        told = self._problem.past()
        is_early = len(told) < ENOUGH and len(self._first_day) > 0
        return compared(self._problem, (*told, *self._first_day)) if is_early else told


@dataclass(frozen=True, slots=True)
class _Place:
    """Of a trial within its experience, which is the one of this `row`: so many of so many are better."""

    row: int
    better: int
    of: int
    trial: PastTrial

    @property
    def rank(self) -> float:
        return self.better / max(self.of - 1, 1)


@dataclass(frozen=True, slots=True)
class _Known:
    """`places`: by rows, of each the best first."""

    configuration: Configuration
    places: list[_Place]


def starts_of(problem: Problem, designs: Designs, experiences: Sequence[Experience], seed: int) -> tuple[Start, ...]:
    """At most 32: the portfolio of all trials that can be configurations of these `designs`."""
    nearest_first = sorted(experiences, key=lambda each: each.distance)
    known = _known(problem, designs, nearest_first, seed)
    ranks = np.full((len(nearest_first), len(known)), math.nan)
    for column, each in enumerate(known):
        for place in reversed(each.places):  # what is written last is the best
            ranks[place.row, column] = place.rank
    weights = weights_of(np.array([each.distance for each in nearest_first]))
    return tuple(
        _start(each.configuration, place := each.places[0], nearest_first[place.row].distance)
        for each in (known[column] for column in portfolio(ranks, weights, MOST_WARM))
    )


def _known(problem: Problem, designs: Designs, experiences: Sequence[Experience], seed: int) -> list[_Known]:
    """Networks with their trainings; those alike are one."""
    found, keys = dict[tuple[str, Recipe], _Known](), dict[frozenset[tuple[str, Value]], tuple[str, Recipe]]()
    for row, experience in enumerate(experiences):
        sources = [_source(problem, experience, has_training) for has_training in (False, True)]
        for place in _places(row, experience, problem.metric):
            labels = place.trial.labels
            chosen = designs.transferred(labels, sources["training" in labels], _draws(labels, seed))
            if chosen is None:
                continue
            values = frozenset(chosen.items())
            if values not in keys:
                keys[values] = canonical_hash(designs.graph(chosen)), designs.recipe(chosen)
            found.setdefault(keys[values], _Known(chosen, [])).places.append(place)
    return [*found.values()]


def _draws(labels: Mapping[str, str], seed: int) -> np.random.Generator:
    """The same for the same design, so that it becomes one network, whichever data it was tried on."""
    text = " ".join(labels.get(name, "") for name in DESIGN)
    return generator(seed, TRANSFERS, crc32(text.encode()))


def _source(problem: Problem, experience: Experience, has_training: bool) -> Designs:
    """Of what may have been drawn there: one schedule is spelt as any other one."""
    there = replace(
        problem,
        input=experience.input,
        classes=experience.classes,
        train_rows=experience.train_rows,
        mirror_keeps_class=experience.mirror_keeps_class,
        max_params=None,
    )
    return Designs.of(there, tuple(SPACES), ("constant",) if has_training else (), None)


def _places(row: int, experience: Experience, metric: str) -> list[_Place]:
    """Of those that have come to a result, the best first."""
    ended = [(value, each) for each in experience.trials if math.isfinite(value := each.metrics.get(metric, math.nan))]
    values = sorted((value for value, _ in ended), reverse=True)
    found = (_Place(row, values.index(value), len(values), trial) for value, trial in ended)
    return sorted(found, key=lambda each: each.better)


def _start(configuration: Configuration, place: _Place, distance: float) -> Start:
    rank = f"number {place.better + 1} of {place.of}" if place.better else "the best"
    data = "other data" if place.row else "the most similar data"
    apart = f"distance {distance:.2f}"
    return Start(configuration, f"{rank} of {data} ({apart})", sentence(f"{place.trial.synthesizer}, {apart}"))
