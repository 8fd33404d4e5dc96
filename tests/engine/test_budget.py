"""How a budget is spent: never more than what is left, and every trial by a whole recipe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.errors import InvalidRequest
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.budget import FINAL_FACTOR, LONGEST_TRIAL_S, MOST_EPOCHS, BudgetPlan, complete
from neunets_trainer.recipe import recipe_from_proto

Recipe = synthesizer_pb2.Recipe
MODERATE = st.floats(0.0, 1.0)
TRIALS = st.none() | st.integers(1, 1000)
WALLS = st.floats(10.0, 1e6)
# Of the wall time.
USED = st.floats(0.0, 2.0)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Any part of a recipe, zeros too."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        **dict.fromkeys(("learning_rate", "momentum", "weight_decay", "label_smoothing", "warmup"), MODERATE),
        **dict.fromkeys(("batch_size", "shift"), st.integers(1, 9)),
        "mirror": st.booleans(),
        "schedule": st.sampled_from((0, 1)),
    }
    chosen = draw(st.fixed_dictionaries({}, optional=fields))
    total = draw(st.sampled_from(({}, {"epochs": 0.0}, {"epochs": 3.0}, {"device_s": 5.0})))
    return Recipe(**chosen, **total)


@st.composite
def plans(draw: st.DrawFn, trials: st.SearchStrategy[int | None] = TRIALS) -> BudgetPlan:
    """With a wall budget."""
    return BudgetPlan(draw(WALLS), draw(trials), draw(st.integers(1, 64)), draw(st.integers(1, 10**7)))


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
    assert BudgetPlan.of(spec, 2, 100) == BudgetPlan(wall_s, trials, 2, 100)


@given(plan=plans(), used=USED)
def test_a_search_trial_ends_before_the_search_does(plan: BudgetPlan, used: float) -> None:
    assert plan.wall_s is not None
    used_s = used * plan.wall_s
    total = plan.search_total(used_s)
    if total is not None:
        assert total.WhichOneof("total") == "device_s"
        assert 0.0 < total.device_s <= plan.search_end_s() - used_s


@given(plan=plans())
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


@given(plan=plans(), used=USED)
def test_the_final_training_fits_into_what_is_left(plan: BudgetPlan, used: float) -> None:
    assert plan.wall_s is not None
    left = plan.wall_s * (1.0 - used)
    total = plan.final_total(used * plan.wall_s)
    if total.WhichOneof("total") == "device_s":
        assert 0.0 < total.device_s < left
    else:
        assert total.epochs == 0.0


@given(plan=plans(), used_s=st.floats(0.0, 1e9))
def test_without_a_wall_budget_epochs_are_counted(plan: BudgetPlan, used_s: float) -> None:
    free = replace(plan, wall_s=None, trials=3)
    total = free.search_total(used_s)
    assert total is not None
    assert 1.0 <= total.epochs <= MOST_EPOCHS
    assert free.final_total(used_s).epochs == FINAL_FACTOR * total.epochs


@given(plan=plans(), used=USED, made=st.integers(0, 2000))
def test_nothing_negative_is_left(plan: BudgetPlan, used: float, made: int) -> None:
    assert plan.wall_s is not None
    budget = plan.message(used * plan.wall_s, made)
    assert 0.0 <= budget.wall_s_left <= budget.wall_s == plan.wall_s
    assert budget.HasField("trials_left") == (plan.trials is not None)
    assert budget.trials_left == max(0, (plan.trials or 0) - made)


def test_what_is_unlimited_is_unset() -> None:
    budget = BudgetPlan(None, 3, 2, 100).message(1e9, 5)
    assert (budget.slots, budget.trials, budget.trials_left) == (2, 3, 0)
    assert not budget.HasField("wall_s")
    assert not budget.HasField("wall_s_left")


@given(asked=recipes(), is_timed=st.booleans(), rows=st.integers(1, 10**6))
def test_a_completed_recipe_can_be_trained_by(asked: Recipe, is_timed: bool, rows: int) -> None:
    total = Recipe(device_s=7.0) if is_timed else Recipe(epochs=0.0)
    recipe_from_proto(complete(asked, total, rows))  # refuses what is unset


@given(asked=recipes(), rows=st.integers(1, 10**6))
def test_a_completed_recipe_keeps_what_was_asked(asked: Recipe, rows: int) -> None:
    whole = complete(asked, Recipe(device_s=7.0), rows)
    for field, value in asked.ListFields():
        assert getattr(whole, field.name) == value
    assert whole.WhichOneof("total") == (asked.WhichOneof("total") or "device_s")
