"""All networks of a run and how good they are: a fold over its events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from neunets.canonical import canonical_hash
from neunets.cost import STEP_COST, cost
from neunets.errors import InvalidGraph
from neunets.graph import Graph
from neunets.morphisms import derive
from neunets.synthesizer import Candidate, Event, Injected, Proposed, Rejected, TrialEnded, TrialState

__all__ = ["ALONE", "ORIGIN", "Individual", "Population", "selected"]

# The label of a candidate that tells people how it came about.
ORIGIN: Final = "origin"
# That of a template in a run that is too short for a search.
ALONE: Final = "the template alone"
FEWEST_DRAWN: Final = 2
# With them a trial leaves weights, of which others may come.
FERTILE: Final = frozenset({TrialState.SUCCEEDED, TrialState.STOPPED})


@dataclass(frozen=True, slots=True)
class Individual:
    """`parent`: its id, empty for a template or a user's network. `fitness`: not a number while it trains.

    `speed`: operations a second of its training; 0: not known.
    """

    id: str
    graph: Graph
    origin: str
    parent: str = ""
    fitness: float = math.nan
    speed: float = 0.0


class Population:
    """Nobody is removed from it, but those whose weights the engine turns out not to have."""

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self._training: dict[str, Individual] = {}
        self._trained: dict[str, Individual] = {}  # in the order in which their trials have ended
        self.known: set[str] = set()  # canonical hashes of all networks that the run has seen
        self.proposed, self.roots = 0, 0  # own candidates, and those without a parent among them
        self.device_s = 0.0  # of the trials that have ended
        self.is_alone = False  # the template, and stays so

    @property
    def is_training(self) -> bool:
        return bool(self._training)

    @property
    def trained(self) -> Sequence[Individual]:
        """All that may be parents."""
        return tuple(self._trained.values())

    def apply(self, event: Event) -> None:
        match event:
            case Proposed(candidates):
                self.proposed += len(candidates)
                self.roots += sum(not candidate.parents for _, candidate in candidates)
                self.is_alone |= any(candidate.labels.get(ORIGIN) == ALONE for _, candidate in candidates)
                for name, candidate in candidates:
                    self._add(name, candidate, candidate.labels.get(ORIGIN, ""))
            case Injected(name, candidate):
                self._add(name, candidate, "injected")
            case Rejected(name, why):
                refused = self._training.pop(name, None)
                if refused is not None and any(code == "BAD_PARENT" for code, _, _ in why):
                    self._trained.pop(refused.parent, None)
            case TrialEnded(will_retry=False):
                self._end(event)

    def _add(self, name: str, candidate: Candidate, origin: str) -> None:
        graph = candidate.graph or self._derived(candidate)
        if graph is not None:
            self.known.add(canonical_hash(graph))
            self._training[name] = Individual(name, graph, origin, candidate.parents[0] if candidate.parents else "")

    def _derived(self, candidate: Candidate) -> Graph | None:
        """Of a candidate that was rejected: the engine echoes no graph of it."""
        parent = self._trained.get(candidate.parents[0]) if candidate.parents else None
        try:
            return None if parent is None else derive(parent.graph, candidate.lineage)
        except InvalidGraph:
            return None

    def _end(self, event: TrialEnded) -> None:
        """Only the first end of a candidate counts: a final training leaves other weights than children inherit."""
        individual = self._training.pop(event.candidate, None)
        if individual is None:
            return
        self.device_s += event.device_s
        fitness = event.metrics.get(self._metric, math.nan)
        if event.state in FERTILE and math.isfinite(fitness):
            rate = event.metrics.get("images_per_s", math.nan)
            speed = STEP_COST * cost(individual.graph).flops * rate if math.isfinite(rate) else 0.0
            self._trained[individual.id] = replace(individual, fitness=fitness, speed=speed)


def selected(individuals: Sequence[Individual], fraction: float, rng: np.random.Generator) -> Individual:
    """The best of a tournament: so many are drawn with replacement, two at least."""
    size = max(FEWEST_DRAWN, math.ceil(fraction * len(individuals)))
    drawn = [individuals[int(number)] for number in rng.integers(len(individuals), size=size)]
    return max(drawn, key=lambda each: each.fitness)
