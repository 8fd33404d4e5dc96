"""How a budget is spent: never more than what is left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neunets.cost import STEP_COST
from neunets.errors import InvalidRequest
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.budget import (
    ENOUGH_EPOCHS,
    EXPORT_RESERVE_S,
    FINAL_FACTOR,
    LONGEST_TRIAL_S,
    MOST_EPOCHS,
    SLOT_FLOPS,
    BudgetPlan,
)

Recipe = synthesizer_pb2.Recipe
TRIALS = st.none() | st.integers(1, 1000)
WALLS = st.floats(5.0, 1e6)
# Of the wall time.
USED = st.floats(0.0, 2.0)
FLOPS = st.integers(1, 10**9)  # of one example
SPEEDS = st.none() | st.floats(1e8, 1e14)


@st.composite
def plans(draw: st.DrawFn, trials: st.SearchStrategy[int | None] = TRIALS) -> BudgetPlan:
    """With a wall budget."""
    rows = st.integers(1, 10**7)
    return BudgetPlan(draw(WALLS), draw(trials), draw(st.integers(1, 64)), draw(rows), draw(rows))


@pytest.mark.parametrize(
    ("spec", "field", "text"),
    [
        ({}, "spec.wall_s", "give a budget"),
        ({"wall_s": 4.9}, "spec.wall_s", "at least 5 s"),
        ({"wall_s": 0.0}, "spec.wall_s", "at least 5 s"),
        ({"wall_s": -60.0, "trials": 3}, "spec.wall_s", "at least 5 s"),
        ({"wall_s": float("nan")}, "spec.wall_s", "nan s"),
        ({"wall_s": float("inf")}, "spec.wall_s", "inf s"),
        ({"trials": 0}, "spec.trials", "at least 1"),
    ],
)
def test_a_budget_that_buys_nothing_is_refused(spec: dict[str, Any], field: str, text: str) -> None:
    with pytest.raises(InvalidRequest, match=text) as caught:
        BudgetPlan.of(service_pb2.RunSpec(**spec), 1, 100)
    assert caught.value.field == field


@pytest.mark.parametrize(("wall_s", "trials"), [(10.0, None), (None, 1), (60.0, 5)])
def test_time_or_trials_or_both_are_a_budget(wall_s: float | None, trials: int | None) -> None:
    spec = service_pb2.RunSpec(wall_s=wall_s, trials=trials)
    assert BudgetPlan.of(spec, 2, 100, 20) == BudgetPlan(wall_s, trials, 2, 100, 20)


@given(plan=plans(), used=USED)
def test_a_search_trial_ends_before_the_search_does(plan: BudgetPlan, used: float) -> None:
    assert plan.wall_s is not None
    used_s = used * plan.wall_s
    total = plan.search_total(used_s)
    if total is not None:
        assert total.WhichOneof("total") == "device_s"
        assert 0.0 < total.device_s <= plan.search_end_s() - used_s


@given(plan=plans(), began=st.floats(0.0, 0.8))
def test_the_start_of_the_workers_is_not_the_searchs_time(plan: BudgetPlan, began: float) -> None:
    assert plan.wall_s is not None
    late = plan.beginning(began * plan.wall_s)
    total = late.search_total(late.began_s)
    assert total is not None
    assert 0.0 < total.device_s <= 1.000001 * late.search_s() <= 1.000001 * plan.search_s()
    assert late.search_end_s() < plan.wall_s


@given(plan=plans(), used=st.floats(0.0, 1.0), flops=FLOPS, speed=SPEEDS)
def test_a_run_without_a_network_trains_one_as_long_as_there_is_time(
    plan: BudgetPlan, used: float, flops: int, speed: float | None
) -> None:
    assert plan.wall_s is not None
    used_s = used * plan.wall_s
    total = plan.trial_total(used_s, flops, speed, is_first=True)
    left_s = plan.wall_s - EXPORT_RESERVE_S - used_s
    assert (total is not None) or left_s < 1.0
    if total is not None and total.WhichOneof("total") == "device_s":
        assert 0.0 < total.device_s <= plan.wall_s - used_s


@given(plan=plans(), used=USED, flops=FLOPS, speed=SPEEDS, epochs=st.none() | st.floats(1.0, 1e4))
def test_a_network_sees_the_data_as_often_as_the_first_where_there_is_time(
    plan: BudgetPlan, used: float, flops: int, speed: float | None, epochs: float | None
) -> None:
    used_s = used * plan.search_end_s()
    usual, total = plan.search_total(used_s), plan.trial_total(used_s, flops, speed, epochs)
    if usual is None or total is None or speed is None or plan.trials is not None:
        assert total == usual
        return
    left, epoch_s = plan.search_end_s() - used_s, STEP_COST * flops * plan.train_rows / speed
    wanted = epochs or max(1.0, usual.device_s / epoch_s)
    assert total == (Recipe(epochs=wanted) if wanted * epoch_s <= left else Recipe(device_s=left))


@given(plan=plans())
@example(plan=BudgetPlan(10.0, None, 2, 60_000))
@example(plan=BudgetPlan(5.0, None, 1, 10**7))
def test_a_search_that_begins_has_time_for_a_trial(plan: BudgetPlan) -> None:
    total = plan.search_total(0.0)
    assert total is not None
    assert total.device_s <= 2.0 * LONGEST_TRIAL_S


@given(plan=plans(trials=st.none()))
def test_trials_one_after_another_use_up_the_search(plan: BudgetPlan) -> None:
    used_s, trials = 0.0, 0
    while (total := plan.search_total(used_s)) is not None:
        used_s, trials = used_s + total.device_s, trials + 1
        assert trials < 10_000
    assert used_s == pytest.approx(plan.search_end_s())


@given(plan=plans(), used=USED, reserve_s=st.floats(0.0, 100.0))
def test_the_final_training_fits_into_what_is_left(plan: BudgetPlan, used: float, reserve_s: float) -> None:
    assert plan.wall_s is not None
    left = plan.wall_s * (1.0 - used) - reserve_s
    total = plan.final_total(used * plan.wall_s, reserve_s)
    if total.WhichOneof("total") == "device_s":
        assert 0.0 < total.device_s < left
    else:
        assert total.WhichOneof("total") == "epochs"
        assert total.epochs == 0.0


@given(plan=plans(), used_s=st.floats(0.0, 1e9))
def test_without_a_wall_budget_epochs_are_counted(plan: BudgetPlan, used_s: float) -> None:
    free = replace(plan, wall_s=None, trials=3)
    total = free.search_total(used_s)
    assert total is not None
    assert 1.0 <= total.epochs <= MOST_EPOCHS
    assert free.final_total(used_s).epochs == FINAL_FACTOR * total.epochs


@given(plan=plans(), used=USED, made=st.integers(0, 2000), speed=SPEEDS)
def test_nothing_negative_is_left(plan: BudgetPlan, used: float, made: int, speed: float | None) -> None:
    assert plan.wall_s is not None
    budget = plan.message(used * plan.wall_s, made, speed)
    assert 0.0 <= budget.wall_s_left <= budget.wall_s == plan.wall_s
    assert budget.HasField("trials_left") == (plan.trials is not None)
    assert budget.trials_left == max(0, (plan.trials or 0) - made)
    assert budget.HasField("slot_flops") == (speed is not None)
    assert budget.slot_flops == (speed or 0.0)


def test_what_is_unlimited_is_unset() -> None:
    budget = BudgetPlan(None, 3, 2, 100).message(1e9, 5, None)
    assert (budget.slots, budget.trials, budget.trials_left) == (2, 3, 0)
    assert not budget.HasField("wall_s")
    assert not budget.HasField("wall_s_left")


def test_epochs_and_steps_are_counted_as_they_are() -> None:
    plan = BudgetPlan(None, 3, 2, 1280)
    assert plan.epochs_of(Recipe(epochs=2.5), 1000, None, 1) == 2.5
    assert plan.epochs_of(Recipe(epochs=0.0), 1000, None, 1) == 0.0
    assert plan.epochs_of(Recipe(steps=30, batch_size=128), 1000, None, 1) == 3.0
    assert plan.epochs_of(Recipe(steps=32), 1000, None, 1) == 2.0  # a sixteenth of the rows at a time


@given(plan=plans(), flops=FLOPS, speed=SPEEDS)
def test_seconds_are_epochs_at_the_measured_speed(plan: BudgetPlan, flops: int, speed: float | None) -> None:
    epoch_s = STEP_COST * flops * plan.train_rows / (speed or SLOT_FLOPS)
    total = Recipe(device_s=3.0 * epoch_s)
    assert plan.epochs_of(total, flops, speed, 1) == plan.epochs_of(total, flops, speed, 0) == pytest.approx(3.0)


@given(plan=plans(), flops=FLOPS, speed=SPEEDS, threads=st.integers(1, 64))
def test_more_threads_train_more_epochs_but_less_than_each_alone(
    plan: BudgetPlan, flops: int, speed: float | None, threads: int
) -> None:
    alone, all_, more = (
        plan.epochs_of(Recipe(device_s=9.0), flops, speed, count) for count in (1, threads, threads + 1)
    )
    assert alone <= all_ < more < (threads + 1) * alone


@given(plan=plans(), flops=FLOPS, speed=SPEEDS, used=st.tuples(USED, USED))
def test_the_winner_is_also_trained_anew_where_half_the_slots_get_far_enough(
    plan: BudgetPlan, flops: int, speed: float | None, used: tuple[float, float]
) -> None:
    assert plan.wall_s is not None
    early, late = sorted(part * plan.wall_s for part in used)
    if plan.trains_both(late, flops, speed):
        assert plan.epochs_of(plan.final_total(late), flops, speed, plan.slots // 2) >= ENOUGH_EPOCHS
        assert plan.trains_both(early, flops, speed)


@pytest.mark.parametrize(("enough", "both"), [(0.99, False), (1.01, True)])
def test_the_epochs_of_half_the_slots_decide(enough: float, both: bool) -> None:
    epoch_s = 1.0 / BudgetPlan(1e6, None, 8, 1000).epochs_of(Recipe(device_s=1.0), 10**6, None, 4)
    left_s = BudgetPlan(1e6, None, 8, 1000).closing_s(10**6, None) + enough * ENOUGH_EPOCHS * epoch_s
    plan = BudgetPlan(EXPORT_RESERVE_S + left_s, None, 8, 1000)
    assert plan.trains_both(0.0, 10**6, None) is both


def test_on_a_single_slot_only_a_run_without_a_clock_trains_both() -> None:
    assert not BudgetPlan(1e6, None, 1, 100).trains_both(0.0, 1000, None)
    assert BudgetPlan(None, 3, 1, 100).trains_both(0.0, 1000, None)


@given(plan=plans(), flops=FLOPS, speed=SPEEDS)
def test_the_reserve_is_enough_to_evaluate_the_test_set(plan: BudgetPlan, flops: int, speed: float | None) -> None:
    assert plan.closing_s(flops, speed) > plan.test_rows * flops / (speed or SLOT_FLOPS)
