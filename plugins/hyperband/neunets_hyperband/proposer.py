"""What is proposed at one moment of a run: it follows from the seed, the budget and the trainings so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from neunets.canonical import canonical_hash
from neunets.cost import cost
from neunets.draws import generator
from neunets.graph import Graph
from neunets.sentences import sentence
from neunets.spaces import Configuration, Designs
from neunets.synthesizer import Budget, Candidate, Problem, Recipe
from neunets_hyperband import asha, halving
from neunets_hyperband.ladder import Ladder
from neunets_hyperband.levels import brackets
from neunets_hyperband.model import Guide
from neunets_hyperband.settings import Mode, Settings
from neunets_hyperband.steps import Step
from neunets_hyperband.trainings import BRACKET, FROM, LADDER, NO_DESIGN, RUNG, Training, Trainings
from neunets_hyperband.warm import Warm

__all__ = ["Proposer"]

# Of a new network, before the space counts as empty.
DRAWS: Final = 100
# Without averaged weights the value of a constant rate is chance, and rungs cannot be compared.
LEAST_AVERAGING: Final = 0.1
# The first rise of the rate, in epochs, and as a part of the lowest rung where that is short.
WARMUP, WARMUP_PART = 0.2, 0.2


@dataclass(frozen=True, slots=True)
class Proposer:
    """`standard`: the network that a run begins with; None: it has begun, or there is none within the bounds."""

    problem: Problem
    settings: Settings
    seed: int
    budget: Budget
    designs: Designs
    ladder: Ladder
    guide: Guide | None
    standard: Graph | None
    warm: Warm

    def candidate(self, trainings: Trainings) -> Candidate | None:
        """The next one. None: there is nothing new, and nobody who can train on."""
        step = self._step(trainings)
        if step is not None and step.before is None:
            begun = self._begun(step, trainings)
            if begun is not None:
                return begun
            step = self._step(trainings, is_empty=True)
        return None if step is None or step.before is None else self._continued(step, step.before)

    def _step(self, trainings: Trainings, is_empty: bool = False) -> Step | None:
        eta, rungs = self.settings.eta, max(1, len(self.ladder.epochs))
        if self.ladder.mode is Mode.ASHA or not self.ladder.epochs:
            return asha.next_step(trainings.all, rungs, eta, self._affords, is_empty)
        begun = brackets(rungs, eta, self.settings.convention)
        by_turns = begun if self.ladder.mode is Mode.HYPERBAND else begun[:1]
        return halving.next_step(trainings.all, by_turns, self._affords, is_empty)

    def _affords(self, training: Training, rung: int) -> bool:
        """Whether it is still below the rung, and comes to it within the search's time, at its speed so far."""
        left_s, epochs = self.budget.wall_s_left, self.ladder.epochs[rung] - training.epochs
        if left_s is None or not training.epochs:
            return epochs > 0.0
        return 0.0 < epochs * training.device_s / training.epochs <= left_s

    def _begun(self, step: Step, trainings: Trainings) -> Candidate | None:
        """A network that the run has not seen; None: many draws have brought none."""
        is_first = trainings.proposed == 0
        if is_first and self.standard is not None and canonical_hash(self.standard) not in trainings.known:
            rationale = f"{self._place(step)}the standard network, the yardstick of all that is drawn"
            return Candidate(self.standard, self._recipe(Recipe(), step), rationale, labels=self._labels(step))
        return self._remembered(step, trainings) or self._drawn(step, trainings)

    def _remembered(self, step: Step, trainings: Trainings) -> Candidate | None:
        """What has done well on other data; in the first bracket alone, so that it begins on the lowest rung."""
        if trainings.remembered >= self.settings.warm or step.bracket > 0:
            return None
        for start in self.warm.starts():
            found = self._new(start.configuration, step, trainings, start.why)
            if found is not None:
                return replace(found, labels={**found.labels, FROM: start.source})
        return None

    def _drawn(self, step: Step, trainings: Trainings) -> Candidate | None:
        """At random, or by the model."""
        for draw in range(DRAWS):
            rng = generator(self.seed, trainings.proposed, draw)
            guide = self.guide if rng.random() >= self.settings.random_fraction else None
            chosen = self.designs.parameters.sample(rng) if guide is None else guide.model.draw(rng)
            found = self._new(chosen, step, trainings, f"drawn {self._source(guide)}")
            if found is not None:
                return found
        return None

    def _new(self, chosen: Configuration, step: Step, trainings: Trainings, why: str) -> Candidate | None:
        """None: it is not allowed, or the run has seen it."""
        graph = self.designs.graph(chosen)
        if not self._is_allowed(graph) or canonical_hash(graph) in trainings.known:
            return None
        text = f"{self._place(step)}{why}: {self.designs.told(chosen)}"
        recipe = self._recipe(self.designs.recipe(chosen), step)
        return Candidate(graph, recipe, sentence(text), labels=self._labels(step, self.designs.labels(chosen)))

    def _continued(self, step: Step, before: Training) -> Candidate:
        recipe = Recipe(epochs=self.ladder.epochs[step.rung], resume_trial=before.trial)
        text = f"{self._place(step)}{before.value:.3f} is of the best 1/{self.settings.eta} of {step.among}"
        return Candidate(None, recipe, text, labels=self._labels(step, before.design))

    def _recipe(self, searched: Recipe, step: Step) -> Recipe:
        """Up to the step's rung, at a constant rate, which can be continued; without rungs as the engine chooses."""
        if not self.ladder.epochs:
            return replace(searched, schedule=None, cycles=None)
        averaging = self.settings.averaging if searched.averaging is None else searched.averaging
        return replace(
            searched,
            epochs=self.ladder.epochs[step.rung],
            schedule="constant",
            averaging=max(averaging, LEAST_AVERAGING),
            warmup=min(WARMUP, WARMUP_PART * self.ladder.epochs[0]),
        )

    def _is_allowed(self, graph: Graph) -> bool:
        """By the user's bound on operations, to which a space keeps where it can."""
        return self.problem.max_flops is None or cost(graph).flops <= self.problem.max_flops

    def _labels(self, step: Step, design: Mapping[str, str] = NO_DESIGN) -> Mapping[str, str]:
        return {RUNG: str(step.rung), BRACKET: str(step.bracket), LADDER: self.ladder.spelt(), **design}

    def _place(self, step: Step) -> str:
        epochs = self.ladder.epochs
        if not epochs:
            return "too short a search for rungs: "
        bracket = "" if self.ladder.mode is Mode.ASHA else f"bracket {step.bracket + 1}, "
        return f"{bracket}rung {step.rung + 1} of {len(epochs)}: {self.ladder.told(step.rung)}, "

    def _source(self, guide: Guide | None) -> str:
        if guide is None:
            return "at random"
        results = f"by the model of {guide.results} results"
        return results if guide.rung is None else f"{results} at {self.ladder.told(guide.rung)}"
