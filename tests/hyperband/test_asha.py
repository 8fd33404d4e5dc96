"""Asynchronous promotions, in any order of results."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets_hyperband.asha import next_step
from neunets_hyperband.steps import Step
from neunets_hyperband.trainings import Status, Training

RUNGS = 4
ETAS = st.integers(2, 4)
# Values of results in the order in which they come, of the open training that is so far back; a failure among them.
ORDERS = st.lists(st.tuples(st.integers(0, 3), st.floats(0.0, 1.0) | st.just(-math.inf)), max_size=80)


class Race:
    """Trainings by the rule alone. `slots`: how many are open at a time."""

    def __init__(self, eta: int, slots: int = 4) -> None:
        self.eta, self.slots = eta, slots
        self.all: list[Training] = []
        self.steps: list[Step] = []

    def fill(self, is_empty: bool = False) -> None:
        while sum(each.status is Status.OPEN for each in self.all) < self.slots:
            step = next_step(self.all, RUNGS, self.eta, lambda training, rung: True, is_empty)
            if step is None:
                return
            self.steps.append(step)
            network = f"n{len(self.all)}"
            if step.before is not None:
                network = step.before.network
                self.all[self.all.index(step.before)] = replace(step.before, is_continued=True)
            self.all.append(Training(f"c{len(self.all)}", network, step.rung, 0))

    def end(self, back: int, value: float) -> None:
        running = [number for number, each in enumerate(self.all) if each.status is Status.OPEN]
        if running:
            number = running[back % len(running)]
            self.all[number] = replace(self.all[number], status=Status.ENDED, value=value)

    def results(self, rung: int) -> list[Training]:
        return [each for each in self.all if each.rung == rung and each.status is Status.ENDED]


def raced(eta: int, order: list[tuple[int, float]]) -> Race:
    race = Race(eta)
    for back, value in order:
        race.fill()
        race.end(back, value)
    return race


@given(eta=ETAS, order=ORDERS)
def test_who_trains_on_is_of_the_best_then(eta: int, order: list[tuple[int, float]]) -> None:
    race = Race(eta)
    for back, value in order:
        before = [race.results(rung) for rung in range(RUNGS)]
        made = len(race.steps)
        race.fill()
        for step in race.steps[made:]:
            if step.before is not None:
                values = sorted((each.value for each in before[step.rung - 1]), reverse=True)
                assert step.before.value >= values[math.ceil(len(values) / eta) - 1]
                assert step.among == len(values)
        race.end(back, value)


@given(eta=ETAS, order=ORDERS)
def test_each_network_is_on_each_rung_once(eta: int, order: list[tuple[int, float]]) -> None:
    race = raced(eta, order)
    assert max(Counter((each.network, each.rung) for each in race.all).values(), default=1) == 1
    for each in race.all:
        if each.rung:
            assert any(other.network == each.network and other.rung == each.rung - 1 for other in race.all)


@given(eta=ETAS, values=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60), seed=st.randoms(use_true_random=False))
def test_in_the_end_all_of_the_best_have_trained_on(eta: int, values: list[float], seed: st.DataObject) -> None:
    race, left = Race(eta), list(values)
    while left:
        race.fill()
        race.end(seed.randrange(4), left.pop())  # type: ignore[attr-defined]
    for number in range(1000):
        race.fill(is_empty=True)
        if not any(each.status is Status.OPEN for each in race.all):
            break
        race.end(seed.randrange(4), number / 1000)  # type: ignore[attr-defined]
    for rung in range(RUNGS - 1):
        there = sorted(race.results(rung), key=lambda each: -each.value)
        best = {each.network for each in there[: math.ceil(len(there) / eta)] if math.isfinite(each.value)}
        assert best <= {each.network for each in race.results(rung + 1)}


def ended(number: int, value: float, rung: int = 0, **fields: object) -> Training:
    training = Training(f"c{number}", f"n{number}", rung, 0, status=Status.ENDED, value=value)
    return replace(training, **fields)  # type: ignore[arg-type]


def step_of(trainings: list[Training], is_empty: bool = False) -> Step | None:
    return next_step(trainings, RUNGS, 3, lambda training, rung: True, is_empty)


def test_the_best_of_three_trains_on() -> None:
    trainings = [ended(1, 0.5), ended(2, 0.9), ended(3, 0.7)]
    assert step_of(trainings) == Step(1, before=trainings[1], among=3)


def test_the_first_trains_on_at_once() -> None:
    assert step_of([ended(1, 0.5)]) == Step(1, before=ended(1, 0.5), among=1)


def test_who_comes_late_and_is_better_trains_on_too() -> None:
    trainings = [ended(1, 0.5, is_continued=True), ended(2, 0.6)]
    assert step_of(trainings) == Step(1, before=trainings[1], among=2)


def test_higher_rungs_come_first() -> None:
    low = [ended(number, number / 10, is_continued=number > 6) for number in range(1, 10)]
    high = [ended(number, number / 10, rung=1) for number in (7, 8, 9)]
    assert step_of([*low, *high, ended(10, 0.99), ended(11, 0.1), ended(12, 0.2)]) == Step(2, before=high[2], among=3)


@pytest.mark.parametrize("status", [Status.OPEN, Status.VOID])
def test_what_has_no_result_does_not_count(status: Status) -> None:
    three = [ended(1, 0.5), ended(2, 0.7), ended(3, 0.9, is_continued=True)]
    assert step_of([*three, ended(4, math.nan, status=status)]) == Step(0)
    assert step_of([*three, ended(4, 0.1)]) == Step(1, before=three[1], among=4)


def test_a_failure_is_a_result_and_never_trains_on() -> None:
    failed = [ended(number, -math.inf) for number in range(3)]
    assert step_of(failed) == Step(0)
    assert step_of([*failed[:2], ended(3, 0.1)]) == Step(1, before=ended(3, 0.1), among=3)


def test_who_cannot_be_afforded_lets_the_next_one_go() -> None:
    trainings = [ended(number, number / 10) for number in range(1, 7)]
    step = next_step(trainings, RUNGS, 3, lambda training, rung: training.value < 0.6)
    assert step == Step(1, before=trainings[4], among=6)


def test_without_new_networks_nobody_is_begun() -> None:
    assert step_of([ended(1, 0.5, is_continued=True)], is_empty=True) is None
