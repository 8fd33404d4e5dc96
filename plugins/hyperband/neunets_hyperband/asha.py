"""Asynchronous successive halving: nobody waits for the rest of a rung."""

from __future__ import annotations

import math
from collections.abc import Sequence

from neunets_hyperband.steps import Affords, Step
from neunets_hyperband.trainings import Status, Training

__all__ = ["next_step"]


def next_step(
    trainings: Sequence[Training], rungs: int, eta: int, affords: Affords, is_empty: bool = False
) -> Step | None:
    """From the top rung down, the best of its best ceil(results / eta) that was not promoted; else a new network.

    Li et al., arXiv:1810.05934, where it is the floor: so the first result of a rung goes on at once, as in the variant
    that stops trainings. `is_empty`: there are no new networks.
    """
    for rung in reversed(range(rungs - 1)):
        results = [each for each in trainings if each.rung == rung and each.status is Status.ENDED]
        best = sorted(results, key=lambda each: -each.value)[: math.ceil(len(results) / eta)]
        ready = [each for each in best if each.is_ready and affords(each, rung + 1)]
        if ready:
            return Step(rung + 1, before=ready[0], among=len(results))
    return None if is_empty else Step(0)
