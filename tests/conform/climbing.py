"""A small conformant synthesizer that continues: the best third of each level is trained three times as long."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from conform.ladder import rung
from neunets.synthesizer import (
    Assessment,
    Budget,
    Candidate,
    Description,
    Event,
    Problem,
    Proposals,
    Proposed,
    Recipe,
    TrialEnded,
    TrialStarted,
    TrialState,
)

__all__ = ["Climbing", "ClimbingRun", "promoted"]

# Epochs of all trials of a level; those of the last one go on no further.
LEVELS: Final = (1.0, 3.0, 9.0)
FACTOR: Final = 3
CONTINUED: Final = frozenset({TrialState.SUCCEEDED, TrialState.STOPPED})


def promoted(run: ClimbingRun) -> list[str]:
    """The trials of the best third of each level that nothing continues yet, the longest first."""
    found: list[str] = []
    for level in reversed(LEVELS[:-1]):
        ended = [trial for trial in run.fitness if run.candidate(trial).recipe.epochs == level]
        ended.sort(key=lambda trial: (-run.fitness[trial], trial))
        found += [trial for trial in ended[: len(ended) // FACTOR] if trial not in run.continued]
    return found


@dataclass(slots=True)
class ClimbingRun:
    """`candidates`: by id, with the graphs that the engine echoes; `fitness`: of the trials that can be continued."""

    problem: Problem
    climbing: Climbing
    candidates: dict[str, Candidate] = field(default_factory=dict)
    trials: dict[str, str] = field(default_factory=dict)  # → candidate
    fitness: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    continued: set[str] = field(default_factory=set)
    roots: int = 0

    def candidate(self, trial: str) -> Candidate:
        return self.candidates[self.trials[trial]]

    def running(self) -> list[str]:
        return [trial for trial in self.trials if trial not in self.fitness and trial not in self.failed]

    def propose(self, want: int, budget: Budget) -> Proposals:
        """Where too few are good enough to go on, others begin."""
        found = [self._continuation(trial) for trial in self.climbing.continues(self)[:want]]
        found += [self._root(self.roots + number) for number in range(1, want - len(found) + 1)]
        first = len(self.candidates)
        return Proposals(tuple(self.climbing.alter(k, each, self.problem) for k, each in enumerate(found, first)))

    def _root(self, channels: int) -> Candidate:
        return replace(rung(self.problem, channels), recipe=Recipe(epochs=LEVELS[0], schedule="constant"))

    def _continuation(self, trial: str) -> Candidate:
        """Every second one says again what it might leave out."""
        before = self.candidate(trial)
        assert before.recipe.epochs is not None
        recipe = Recipe(epochs=FACTOR * before.recipe.epochs, resume_trial=trial)
        if len(self.continued) % 2:
            return Candidate(before.graph, replace(recipe, schedule="constant"), "it is worth more")
        return Candidate(None, recipe, "it is worth more")

    def ingest(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Proposed(candidates):
                    self.candidates |= dict(candidates)
                    resumed = [candidate.recipe.resume_trial for _, candidate in candidates]
                    self.continued |= {trial for trial in resumed if trial is not None}
                    self.roots += resumed.count(None)
                case TrialStarted(candidate, trial):
                    self.trials[trial] = candidate
                case TrialEnded(trial=trial, state=state, will_retry=False):
                    if state in CONTINUED:
                        value = event.metrics.get(self.problem.metric, math.nan)
                        self.fitness[trial] = -math.inf if math.isnan(value) else value
                    else:
                        self.failed.append(trial)

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        return Assessment(progress=min(1.0, len(self.candidates) / 100), reason=f"{len(self.candidates)} candidates")


@dataclass(slots=True)
class Climbing:
    """`alter(k, candidate, problem)` and `continues(run)` are where something else may come in."""

    alter: Callable[[int, Candidate, Problem], Candidate] = lambda k, candidate, problem: candidate
    continues: Callable[[ClimbingRun], list[str]] = promoted

    def describe(self) -> Description:
        text = "One convolution, and the best ones are trained longer."
        return Description("climbing", "1.0.0", text, ("image-classification",), continues_trials=True)

    def open(self, problem: Problem, settings: Mapping[str, object], seed: int) -> ClimbingRun:
        return ClimbingRun(problem, self)
