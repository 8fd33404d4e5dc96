"""A small conformant synthesizer that evolves: each candidate is the best network so far with more channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from conform.ladder import rung
from neunets.morphisms import Widen, derive
from neunets.synthesizer import (
    Assessment,
    Budget,
    Candidate,
    Description,
    Event,
    Exhausted,
    Problem,
    Proposals,
    Proposed,
    Rejected,
    TrialEnded,
    TrialState,
    Wait,
)

__all__ = ["Widening", "WideningRun", "best"]

MOST_TRAINING = 2
INHERITED = frozenset({TrialState.SUCCEEDED, TrialState.STOPPED})


def best(run: WideningRun) -> str | None:
    """Of those whose weights can be inherited; of equal ones the first."""
    return max(run.fitness, key=lambda name: run.fitness[name], default=None)


@dataclass(slots=True)
class WideningRun:
    """`candidates`: by id, with the graphs that the engine echoes; `fitness`: of those that have left weights."""

    problem: Problem
    widening: Widening
    candidates: dict[str, Candidate] = field(default_factory=dict)
    fitness: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    training: int = 0

    def propose(self, want: int, budget: Budget) -> Proposals | Wait | Exhausted:
        """Two at a time: until one has ended there is nobody to inherit from."""
        room = MOST_TRAINING - self.training
        if room <= 0:
            return Wait("two candidates train", min_new_results=1, after_s=0.05)
        first = len(self.candidates)
        return Proposals(tuple(self._candidate(k) for k in range(first, first + min(want, room))))

    def _candidate(self, k: int) -> Candidate:
        """A root where nobody has weights; of the others, every second one tells its graph as well."""
        parent, candidate = self.widening.parent(self), rung(self.problem, k + 1)
        if parent is not None:
            step = Widen("conv", k + 1, seed=k)
            source = self.candidates[parent].graph
            graph = derive(source, (step,)) if k % 2 and source is not None else None
            candidate = replace(candidate, graph=graph, parents=(parent,), lineage=(step,))
        return self.widening.alter(k, candidate, self.problem)

    def ingest(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Proposed(candidates):
                    self.candidates |= dict(candidates)
                    self.training += len(candidates)
                case Rejected():
                    self.training -= 1
                case TrialEnded(candidate=name, state=state, will_retry=False):
                    self.training -= 1
                    if state in INHERITED:
                        value = event.metrics.get(self.problem.metric, math.nan)
                        self.fitness[name] = -math.inf if math.isnan(value) else value
                    else:
                        self.failed.append(name)

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        return Assessment(progress=min(1.0, len(self.candidates) / 100), reason=f"{len(self.candidates)} candidates")


@dataclass(slots=True)
class Widening:
    """`alter(k, candidate, problem)` and `parent(run)` are where something else may come in."""

    alter: Callable[[int, Candidate, Problem], Candidate] = lambda k, candidate, problem: candidate
    parent: Callable[[WideningRun], str | None] = best

    def describe(self) -> Description:
        text = "One convolution, and the best one becomes wider."
        return Description("widening", "1.0.0", text, ("image-classification",), inherits_weights=True)

    def open(self, problem: Problem, settings: Mapping[str, object], seed: int) -> WideningRun:
        return WideningRun(problem, self)
