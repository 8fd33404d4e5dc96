"""The rungs of a run: decided once, from the data, the budget and what a typical network costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from neunets.cost import STEP_COST
from neunets.synthesizer import Budget
from neunets_hyperband.levels import Bracket, brackets, levels, work
from neunets_hyperband.settings import Mode, Settings

__all__ = ["Ladder", "planned"]

# Of the search's time, what a typical network takes at most to the lowest rung.
LOWEST_SHARE: Final = 1 / 8
# A shorter training is little more than its start and its evaluation. After three thousand examples, seven to nine
# tenths of the best twentieth of recorded trainings were in the upper third.
SHORTEST_S: Final = 2.0
FEWEST_EXAMPLES: Final = 3_000
# More of them learn by heart, unless the user wants them; the winner is trained on anyway.
MOST_EPOCHS: Final = 100.0
MOST_RUNGS: Final = 6
# Where no time bounds it.
USUAL_RUNGS: Final = 3


@dataclass(frozen=True, slots=True)
class Ladder:
    """`epochs` of the rungs, upwards; of none, every network is trained once, as long as the engine chooses."""

    mode: Mode
    epochs: tuple[float, ...] = ()

    def told(self, rung: int) -> str:
        """For people."""
        return "1 epoch" if self.epochs[rung] == 1.0 else f"{self.epochs[rung]:g} epochs"

    def spelt(self) -> str:
        return " ".join([self.mode.value, *(f"{each:g}" for each in self.epochs)])

    @staticmethod
    def read(text: str) -> Ladder:
        """The inverse of `spelt`."""
        mode, *epochs = text.split()
        return Ladder(Mode(mode), tuple(map(float, epochs)))


def planned(settings: Settings, rows: int, flops: float, budget: Budget, limit: float = math.inf) -> Ladder:
    """For `rows` of training data and a network of so many `flops`; `budget`: as the search begins.

    `limit`: epochs that a recipe may have.
    """
    mode = settings.mode or (Mode.ASHA if budget.slots > 1 else Mode.HYPERBAND)
    pass_s = STEP_COST * max(flops, 1.0) * rows / budget.slot_speed()
    most = min(MOST_EPOCHS, limit)
    least = settings.min_epochs or _lowest(rows, pass_s, budget.wall_s_left, most / settings.eta)
    if least is None:
        return Ladder(mode)
    if settings.max_epochs is not None:
        return Ladder(mode, _rounded(levels(min(least, settings.max_epochs), settings.max_epochs, settings.eta)))
    for rungs in range(MOST_RUNGS, 1, -1):
        epochs = _rounded(tuple(least * settings.eta**rung for rung in range(rungs)))
        begun = brackets(rungs, settings.eta, settings.convention)
        is_short = epochs[-1] <= (most if rungs > 2 else limit)
        if is_short and _fits(begun if mode is Mode.HYPERBAND else begun[:1], epochs, pass_s, budget):
            return Ladder(mode, epochs)
    return Ladder(mode)


def _lowest(rows: int, pass_s: float, search_s: float | None, most: float) -> float | None:
    """Epochs of the lowest rung: one at least, unless that takes too long. None: the search is too short for rungs."""
    fewest = min(FEWEST_EXAMPLES / rows, most)
    if search_s is None:
        return float(f"{min(max(fewest, 1.0), most):.2g}")
    affordable = LOWEST_SHARE * search_s / pass_s
    if affordable < fewest or LOWEST_SHARE * search_s < SHORTEST_S:
        return None
    return float(f"{min(max(fewest, 1.0, SHORTEST_S / pass_s), most, affordable):.2g}")


def _fits(begun: tuple[Bracket, ...], epochs: tuple[float, ...], pass_s: float, budget: Budget) -> bool:
    """Whether the budget is enough for the brackets once."""
    trials = sum(sum(bracket.sizes) for bracket in begun)
    if budget.trials_left is not None and trials > budget.trials_left:
        return False
    if budget.wall_s_left is None:
        return len(epochs) <= USUAL_RUNGS
    return pass_s * sum(work(bracket, epochs) for bracket in begun) <= budget.wall_s_left * budget.slots


def _rounded(epochs: tuple[float, ...]) -> tuple[float, ...]:
    """To what `Ladder.spelt` says of them."""
    return tuple(float(f"{each:g}") for each in epochs)
