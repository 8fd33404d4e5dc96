"""Which rungs a run has, by its data and its budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.cost import STEP_COST
from neunets.synthesizer import Budget
from neunets_hyperband.ladder import FEWEST_EXAMPLES, MOST_EPOCHS, SHORTEST_S, Ladder, planned
from neunets_hyperband.levels import brackets, work
from neunets_hyperband.settings import Mode, settings_of

SPEED = 1e10


def timed(search_s: float, slots: int = 2, trials: int | None = None) -> Budget:
    return Budget(slots, 4 * search_s, trials, search_s, trials, SPEED)


def flops_of(pass_s: float, rows: int) -> float:
    """Of a network that sees so many rows in so many seconds."""
    return pass_s * SPEED / rows / STEP_COST


@given(search_s=st.floats(1.0, 1e5), slots=st.integers(1, 8), rows=st.integers(100, 10**7), pass_s=st.floats(0.01, 1e4))
def test_the_rungs_keep_to_the_time(search_s: float, slots: int, rows: int, pass_s: float) -> None:
    settings, budget = settings_of({"mode": "halving"}), timed(search_s, slots)
    ladder = planned(settings, rows, flops_of(pass_s, rows), budget)
    if not ladder.epochs:
        return
    lowest = ladder.epochs[0]
    assert lowest * pass_s <= 1.05 * search_s / 8
    assert lowest * rows >= min(0.95 * FEWEST_EXAMPLES, 0.9 * MOST_EPOCHS / 3 * rows)
    assert ladder.epochs[-1] <= 1.1 * MOST_EPOCHS
    (bracket, *_) = brackets(len(ladder.epochs), 3, settings.convention)
    assert work(bracket, ladder.epochs) * pass_s <= search_s * slots


def test_a_pass_is_the_lowest_rung_where_there_is_time() -> None:
    assert planned(settings_of({}), 50_000, flops_of(10.0, 50_000), timed(300.0)).epochs == (1.0, 3.0, 9.0)


def test_less_than_a_pass_where_that_is_an_eighth_of_the_time() -> None:
    found = planned(settings_of({}), 50_000, flops_of(60.0, 50_000), timed(150.0))
    assert found.epochs == pytest.approx((0.31, 0.93))


def test_small_data_are_seen_more_than_once() -> None:
    assert planned(settings_of({}), 1_000, flops_of(1.0, 1_000), timed(900.0)).epochs[0] == 3.0


@pytest.mark.parametrize(("limit", "epochs"), [(100.0, (3.0, 9.0, 27.0, 81.0)), (27.0, (3.0, 9.0, 27.0)), (2.0, ())])
def test_no_rung_is_longer_than_a_recipe_may_be(limit: float, epochs: tuple[float, ...]) -> None:
    assert planned(settings_of({}), 1_000, flops_of(1.0, 1_000), timed(900.0), limit).epochs == epochs


@pytest.mark.parametrize("search_s", [8 * SHORTEST_S - 1, 1.0])
def test_a_short_search_has_no_rungs(search_s: float) -> None:
    assert planned(settings_of({}), 50_000, flops_of(0.1, 50_000), timed(search_s)).epochs == ()


def test_networks_that_see_too_little_in_the_time_have_no_rungs() -> None:
    assert planned(settings_of({}), 50_000, flops_of(400.0, 50_000), timed(150.0)).epochs == ()


@pytest.mark.parametrize(("trials", "rungs"), [(3, 0), (4, 2), (12, 2), (13, 3), (40, 4), (None, 6)])
def test_a_bracket_has_no_more_trials_than_the_run(trials: int | None, rungs: int) -> None:
    found = planned(settings_of({"min_epochs": 0.1}), 50_000, flops_of(1.0, 50_000), timed(10_000.0, trials=trials))
    assert len(found.epochs) == rungs


def test_without_a_wall_budget_there_are_three_rungs() -> None:
    assert planned(settings_of({}), 50_000, 1e6, Budget(2)).epochs == (1.0, 3.0, 9.0)
    assert planned(settings_of({}), 50_000, 1e6, Budget(2, trials=6, trials_left=6)).epochs == (1.0, 3.0)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"min_epochs": 2.0, "max_epochs": 18.0}, (2.0, 6.0, 18.0)),
        ({"min_epochs": 2.0, "max_epochs": 20.0, "eta": 4.0}, (5.0, 20.0)),
        ({"max_epochs": 0.5}, (0.5,)),
        ({"min_epochs": 200.0}, (200.0, 600.0)),
    ],
)
def test_the_user_may_say_which(settings: dict[str, object], expected: tuple[float, ...]) -> None:
    flops = flops_of(0.001, 50_000)
    assert planned(settings_of(settings), 50_000, flops, timed(60.0)).epochs == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "slots", "mode"),
    [({}, 2, Mode.ASHA), ({}, 1, Mode.HYPERBAND), ({"mode": "halving"}, 2, Mode.HALVING)],
)
def test_nobody_waits_where_there_are_several_slots(settings: dict[str, object], slots: int, mode: Mode) -> None:
    assert planned(settings_of(settings), 50_000, 1e6, Budget(slots)).mode is mode


@given(mode=st.sampled_from(Mode), epochs=st.lists(st.floats(1e-3, 1e5), max_size=6))
def test_what_is_spelt_is_read(mode: Mode, epochs: list[float]) -> None:
    ladder = Ladder.read(Ladder(mode, tuple(epochs)).spelt())
    assert ladder.mode is mode
    assert ladder.epochs == pytest.approx(tuple(epochs), rel=1e-5)
    assert Ladder.read(ladder.spelt()) == ladder
