"""Trials without a chance are stopped, and no others."""

from __future__ import annotations

import math

from hyperband.climbs import BUDGET, Drive, Fate, opened, problem_of
from neunets.synthesizer import StopTrial

EPOCHS = 3.0
SETTINGS = {"mode": "asha", "min_epochs": EPOCHS, "max_epochs": 27.0, "stop_below": 0.05}
TIMES = [EPOCHS * part / 10 for part in range(1, 11)]


def curve(end: float, steps: int = 10) -> list[tuple[float, float]]:
    """Towards `end`, half of the way each half epoch."""
    return [(epoch, end - 0.4 * math.exp(-1.4 * epoch)) for epoch in TIMES[:steps]]


def drive(*ends: float, **settings: object) -> Drive:
    """As many networks have come to their ends on the lowest rung."""
    made = Drive(opened(problem_of(), **{**SETTINGS, **settings}))
    if ends:
        for name, end in zip(made.propose(len(ends)), ends, strict=True):
            train(made, name, end)
    return made


def train(made: Drive, name: str, end: float) -> None:
    made.start(name)
    points = curve(end)
    for epoch, value in points[:-1]:
        made.measure(name, epoch, value)
    made.end(name, points[-1][1])


def stopped(made: Drive, end: float, steps: int) -> tuple[StopTrial, ...]:
    """After so many validations of another network."""
    name = next(each for each in made.propose(4) if made.candidates[each].recipe.resume_trial is None)
    trial = made.start(name)
    for epoch, value in curve(end, steps):
        made.measure(name, epoch, value)
    return made.run.assess(BUDGET, [trial, "t999999"]).stop


def test_who_will_not_be_among_the_best_is_stopped() -> None:
    (stop,) = stopped(drive(0.9, 0.91, 0.92, 0.9), 0.6, 6)
    assert stop.trial.startswith("t0")
    assert stop.predicted is not None
    assert abs(stop.predicted - 0.6) < 0.03
    assert "within 3 epochs" in stop.reason


def test_who_may_be_among_the_best_goes_on() -> None:
    assert stopped(drive(0.9, 0.91, 0.92, 0.9), 0.93, 6) == ()


def test_the_first_results_stop_nobody() -> None:
    assert stopped(drive(0.9, 0.91), 0.6, 6) == ()


def test_few_validations_stop_nobody() -> None:
    assert stopped(drive(0.9, 0.91, 0.92, 0.9), 0.6, 3) == ()


def test_nobody_is_stopped_where_that_is_wished() -> None:
    assert stopped(drive(0.9, 0.91, 0.92, 0.9, stop_below=0.0), 0.6, 6) == ()


def test_failures_are_no_yardstick() -> None:
    made = drive()
    for _ in range(4):
        made.end(made.propose(1)[0], fate=Fate.FAILS)
    assert stopped(made, 0.6, 6) == ()


def test_on_the_highest_rung_the_best_is_the_yardstick() -> None:
    made = drive(0.9, 0.5, 0.6, max_epochs=9.0, min_epochs=3.0, eta=3.0)
    (first,) = made.propose(1)
    assert made.candidates[first].labels["rung"] == "1"
    made.end(first, 0.95)
    train(made, made.propose(1)[0], 0.7)
    (second,) = made.propose(1)
    assert made.candidates[second].labels["rung"] == "1"
    trial = made.start(second)
    for epoch in (4.0, 5.0, 6.0, 7.0):
        made.measure(second, epoch, 0.72)
    assert [each.trial for each in made.run.assess(BUDGET, [trial]).stop] == [trial]


def test_trials_that_do_not_train_are_not_stopped() -> None:
    made = drive(0.9, 0.91, 0.92, 0.9)
    assert made.run.assess(BUDGET, ["t000001", "unknown"]).stop == ()
