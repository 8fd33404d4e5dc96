"""How a search stands, from its results and the budget."""

from __future__ import annotations

import math
from collections import Counter

from neunets.synthesizer import Budget
from neunets_hyperband.ladder import Ladder
from neunets_hyperband.trainings import Status, Trainings

__all__ = ["progress_of", "told"]


def told(trainings: Trainings, ladder: Ladder) -> str:
    """One sentence for people."""
    ended = [each for each in trainings.all if each.status is Status.ENDED]
    if not any(math.isfinite(each.value) for each in ended):
        return "no network is trained yet"
    best = max(ended, key=lambda each: each.value)
    networks = len({each.network for each in ended})
    counted = "1 network" if networks == 1 else f"{networks} networks"
    if not ladder.epochs:
        return f"best of {counted} {best.value:.3f}; too short a search for rungs"
    rungs = Counter(each.rung for each in ended)
    places = ", ".join(f"{rungs[rung]} at {epochs:g}" for rung, epochs in enumerate(ladder.epochs))
    return f"best of {counted} {best.value:.3f}, at {ladder.told(best.rung)}; results: {places}"


def progress_of(trainings: Trainings, budget: Budget) -> float | None:
    """Part of the search that is over; None: nothing bounds it."""
    parts = list[float]()
    if budget.trials is not None and budget.trials_left is not None:
        parts.append(1.0 - budget.trials_left / max(budget.trials, 1))
    if budget.wall_s_left is not None:
        spent = dict[str, float]()  # by network, since the seconds of a continued trial count from its first step
        for each in trainings.all:
            spent[each.network] = max(spent.get(each.network, 0.0), each.device_s)
        used_s = sum(spent.values()) / budget.slots
        parts.append(used_s / (used_s + budget.wall_s_left) if budget.wall_s_left > 0.0 else 1.0)
    return max(parts, default=None)
