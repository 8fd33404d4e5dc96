"""Synchronous successive halving, and the brackets of Hyperband: a rung is complete before its best train on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from neunets_hyperband.levels import Bracket
from neunets_hyperband.steps import Affords, Step
from neunets_hyperband.trainings import Status, Training

__all__ = ["next_step"]


def next_step(
    trainings: Sequence[Training], brackets: Sequence[Bracket], affords: Affords, is_empty: bool = False
) -> Step | None:
    """Of the first bracket that waits for no result; where all do, of a new one. `brackets`: by turns.

    None: there are no new networks, and nobody can train on.
    """
    members: dict[int, list[Training]] = defaultdict(list)
    for each in trainings:
        if each.status is not Status.VOID:
            members[each.bracket].append(each)
    for number in range(max(members, default=-1) + 2):
        bracket = brackets[number % len(brackets)]
        step = _within(members[number], bracket, number, affords, is_empty)
        if step is not None:
            return step
    return None


def _within(
    members: Sequence[Training], bracket: Bracket, number: int, affords: Affords, is_empty: bool
) -> Step | None:
    """Fill the lowest rung that has room. Who failed takes a place; who was rejected leaves it to the next."""
    below: list[Training] = []
    for rung, size in enumerate(bracket.sizes, bracket.lowest):
        here = [each for each in members if each.rung == rung]
        if len(here) < size:
            if rung == bracket.lowest and not is_empty:
                return Step(rung, number)
            ready = [each for each in below if each.is_ready and affords(each, rung)]
            if ready:
                return Step(rung, number, max(ready, key=lambda each: each.value), len(below))
        if any(each.status is Status.OPEN for each in here):
            return None
        below = here
    return None
