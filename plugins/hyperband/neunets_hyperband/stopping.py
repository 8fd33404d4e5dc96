"""Which running trials are not worth their end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from neunets.synthesizer import StopTrial
from neunets_hyperband.curves import forecast, regressed, widened
from neunets_hyperband.ladder import Ladder
from neunets_hyperband.settings import Settings
from neunets_hyperband.trainings import Status, Training, Trainings

__all__ = ["REMEMBERED", "hopeless"]

# Of the trainings that have ended, the last ones, from which it is learned how far forecasts miss.
REMEMBERED: Final = 32


def hopeless(trainings: Trainings, ladder: Ladder, running: Sequence[str], settings: Settings) -> tuple[StopTrial, ...]:
    """Of the `running` trials those that will hardly be among the best of their rung, of which one in `eta` trains on.

    On the highest rung, those that will hardly be its best.
    """
    known = (each for trial in running if (each := trainings.of_trial(trial)) is not None)
    open_ones = [each for each in known if each.status is Status.OPEN]
    if not open_ones or not ladder.epochs or not settings.stop_below:
        return ()
    misses, stopped = trainings.misses[-REMEMBERED:], list[StopTrial]()
    for training in open_ones:
        ends = _ends(trainings.all, training.rung)
        wanted = _wanted(ends, settings.eta, is_highest=training.rung == len(ladder.epochs) - 1)
        found = forecast(trainings.curves.get(training.network, {}), ladder.epochs[training.rung])
        if wanted is None or found is None:
            continue
        chance = regressed(widened(found, misses), ends).chance_above(wanted)
        if chance < settings.stop_below:
            reason = f"a chance of {chance:.1%} to come to {wanted:.3f} within {ladder.told(training.rung)}"
            stopped.append(StopTrial(training.trial, reason, found.mean))
    return tuple(stopped)


def _ends(trainings: Sequence[Training], rung: int) -> list[float]:
    """Of the trainings up to it that have come to a result, the best first."""
    ended = (each.value for each in trainings if each.rung == rung and each.status is Status.ENDED)
    return sorted((value for value in ended if math.isfinite(value)), reverse=True)


def _wanted(ends: Sequence[float], eta: int, is_highest: bool) -> float | None:
    """What a network needs on its rung. None: there are too few results to say."""
    places = 1 if is_highest else len(ends) // eta
    return ends[places - 1] if 1 <= places <= len(ends) else None
