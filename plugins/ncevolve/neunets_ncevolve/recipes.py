"""How templates and children are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from neunets.cost import STEP_COST
from neunets.hyperparameters import HYPERPARAMETERS
from neunets.synthesizer import Budget, Problem, Recipe
from neunets_ncevolve.population import Individual
from neunets_ncevolve.settings import Settings

__all__ = ["Recipes"]

# A child sees about so many examples, each at least once and at most as often as Wistuba's children.
EXAMPLES: Final = 50_000
MOST_EPOCHS: Final = 15.0
ALONE_EPOCHS: Final = 0.1
# Trainings in a row that the time left of a search is for, at least.
ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class Recipes:
    problem: Problem
    settings: Settings

    def root(self) -> Recipe:
        """Of a template. Where no epochs are set, the engine's share of a trial: a quarter of the search's time."""
        settings = self.settings
        return self._recipe(settings.root_epochs, settings.root_learning_rate, settings.root_cycles)

    def alone(self) -> Recipe:
        """Of a template that nothing is compared with: just enough to know that it can be trained."""
        return self._recipe(ALONE_EPOCHS, self.settings.root_learning_rate, self.settings.root_cycles)

    def child(self, flops: int, parent: Individual, budget: Budget) -> Recipe | None:
        """Of a network of so many `flops`. None: it would not see the data once in what is left of the search."""
        settings, rows = self.settings, self.problem.train_rows
        # Narrow networks reach a small part of a slot's speed: their parents tell more of it.
        pass_s = STEP_COST * flops * rows / (parent.speed or budget.slot_speed())
        epochs = min(max(EXAMPLES / rows, 1.0), MOST_EPOCHS)
        if budget.wall_s_left is not None:
            if pass_s > budget.wall_s_left:
                return None
            epochs = max(1.0, min(epochs, budget.wall_s_left / _rounds(budget) / pass_s))
        return self._recipe(settings.epochs or round(epochs, 2), settings.learning_rate, settings.cycles)

    def _recipe(self, epochs: float | None, learning_rate: float | None, cycles: int | None) -> Recipe:
        settings, is_image = self.settings, len(self.problem.input.shape) == 3
        mirror = None if settings.mirror is None else settings.mirror and self.problem.mirror_keeps_class is True
        return Recipe(
            epochs=epochs,
            learning_rate=learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            label_smoothing=settings.label_smoothing,
            batch_size=settings.batch_size,
            shift=self._pixels("shift", settings.shift) if is_image else None,
            cutout=self._pixels("cutout", settings.cutout) if is_image else None,
            mirror=mirror if is_image else None,
            cycles=cycles,
            schedule=None if cycles is None else "cosine_restarts",
        )

    def _pixels(self, name: str, part: float | None) -> int | None:
        """Of a part of the smaller extent, as many as a recipe can say."""
        if part is None:
            return None
        return int(min(round(part * min(self.problem.input.shape[:-1])), HYPERPARAMETERS[name].high))


def _rounds(budget: Budget) -> int:
    if budget.trials_left is None:
        return ROUNDS
    return min(max(-(-budget.trials_left // budget.slots), 1), ROUNDS)
