"""Synchronous halving: rungs are complete before anybody trains on."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from neunets_hyperband.halving import next_step
from neunets_hyperband.levels import Bracket, Convention, brackets
from neunets_hyperband.steps import Step
from neunets_hyperband.trainings import Status, Training

ROUND = brackets(3, 3, Convention.JMLR)  # 9 3 1, 5 1, 3
ONE = (Bracket(0, (4, 2, 1)),)
ORDERS = st.lists(st.tuples(st.integers(0, 5), st.floats(0.0, 1.0) | st.just(-math.inf)), min_size=1, max_size=80)


class Trial:
    """Trainings by the rule alone."""

    def __init__(self, by_turns: tuple[Bracket, ...]) -> None:
        self.by_turns = by_turns
        self.all: list[Training] = []

    def step(self, is_empty: bool = False) -> Step | None:
        return next_step(self.all, self.by_turns, lambda training, rung: True, is_empty)

    def take(self, is_empty: bool = False) -> Training | None:
        step = self.step(is_empty)
        if step is None:
            return None
        network = f"n{len(self.all)}"
        if step.before is not None:
            network = step.before.network
            self.change(step.before, is_continued=True)
        self.all.append(Training(f"c{len(self.all)}", network, step.rung, step.bracket))
        return self.all[-1]

    def change(self, training: Training, **fields: object) -> None:
        number = next(number for number, each in enumerate(self.all) if each.candidate == training.candidate)
        self.all[number] = replace(self.all[number], **fields)  # type: ignore[arg-type]

    def end(self, training: Training, value: float) -> None:
        self.change(training, status=Status.ENDED, value=value)


@given(order=ORDERS)
def test_rungs_never_exceed_their_sizes(order: list[tuple[int, float]]) -> None:
    trial, running = Trial(ROUND), list[Training]()
    for back, value in order:
        while len(running) < 4 and (taken := trial.take()) is not None:
            running.append(taken)
        trial.end(running.pop(back % len(running)), value)
        for (number, rung), count in Counter((each.bracket, each.rung) for each in trial.all).items():
            bracket = ROUND[number % len(ROUND)]
            assert count <= bracket.sizes[rung - bracket.lowest]


@given(order=ORDERS)
def test_who_trains_on_is_of_the_best_of_a_complete_rung(order: list[tuple[int, float]]) -> None:
    trial, running = Trial(ROUND), list[Training]()
    for back, value in order:
        while len(running) < 4 and (step := trial.step()) is not None:
            if step.before is not None:
                below = [each for each in trial.all if (each.bracket, each.rung) == (step.bracket, step.rung - 1)]
                bracket = ROUND[step.bracket % len(ROUND)]
                assert all(each.status is Status.ENDED for each in below)
                ahead = sum(each.value > step.before.value for each in below)
                assert ahead < bracket.sizes[step.rung - bracket.lowest]
            running.append(trial.take())  # type: ignore[arg-type]
        trial.end(running.pop(back % len(running)), value)


def test_a_round_of_hyperband_trains_its_brackets_in_turn() -> None:
    trial, begun = Trial(ROUND), list[tuple[int, int]]()
    for number in range(9 + 3 + 1 + 5 + 1 + 3 + 1):
        taken = trial.take()
        assert taken is not None
        begun.append((taken.bracket, taken.rung))
        trial.end(taken, number / 100)
    expected = [(0, 0)] * 9 + [(0, 1)] * 3 + [(0, 2)] + [(1, 1)] * 5 + [(1, 2)] + [(2, 2)] * 3 + [(3, 0)]
    assert begun == expected


def test_a_free_slot_begins_the_next_bracket() -> None:
    trial = Trial(ONE)
    taken = [trial.take() for _ in range(4)]
    assert trial.step() == Step(0, 1)
    for each in taken[:3]:
        trial.end(each, 0.5)  # type: ignore[arg-type]
    assert trial.step() == Step(0, 1)
    trial.end(taken[3], 0.9)  # type: ignore[arg-type]
    step = trial.step()
    assert step is not None
    assert (step.rung, step.bracket, step.among, step.before and step.before.value) == (1, 0, 4, 0.9)


def complete(values: tuple[float, ...]) -> Trial:
    trial = Trial(ONE)
    for value in values:
        trial.end(trial.take(), value)  # type: ignore[arg-type]
    return trial


def test_failures_leave_a_rung_smaller() -> None:
    trial = complete((-math.inf, 0.5, -math.inf, -math.inf))
    best = trial.take()
    assert (best and best.network) == "n1"
    assert trial.step() == Step(0, 1)
    trial.end(best, 0.6)  # type: ignore[arg-type]
    step = trial.step()
    assert (step and (step.rung, step.bracket)) == (2, 0)


def test_where_all_have_failed_the_next_bracket_begins() -> None:
    assert complete((-math.inf,) * 4).step() == Step(0, 1)


def test_a_rejected_continuation_leaves_its_place_to_the_next() -> None:
    trial = complete((0.1, 0.4, 0.3, 0.2))
    first = trial.take()
    trial.change(first, status=Status.VOID)  # type: ignore[arg-type]
    assert [each and each.network for each in (first, trial.take(), trial.take())] == ["n1", "n2", "n3"]


def test_a_rejected_network_is_replaced() -> None:
    trial = Trial(ONE)
    for _ in range(4):
        trial.take()
    trial.change(trial.all[0], status=Status.VOID)
    assert trial.step() == Step(0, 0)


def test_without_new_networks_those_that_are_there_train_on() -> None:
    trial = Trial(ONE)
    taken = [trial.take() for _ in range(3)]
    for number, each in enumerate(taken):
        assert trial.take(is_empty=True) is None
        trial.end(each, number / 10)  # type: ignore[arg-type]
    assert [each and each.network for each in (trial.take(True), trial.take(True), trial.take(True))] == [
        "n2", "n1", None,
    ]  # fmt: skip
