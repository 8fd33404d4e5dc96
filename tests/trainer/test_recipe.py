"""A recipe is complete or refused, by the path of the field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.errors import InvalidRequest
from neunets.hyperparameters import HYPERPARAMETERS, TOTALS
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_trainer.recipe import Recipe, recipe_from_proto
from neunets_trainer.schedule import Schedule

# Fields that begin at 1.
COUNTS = ("batch_size", "cycles")


def complete() -> synthesizer_pb2.Recipe:
    return synthesizer_pb2.Recipe(
        epochs=3.0,
        schedule=synthesizer_pb2.SCHEDULE_ONE_CYCLE,
        learning_rate=0.05,
        momentum=0.8,
        weight_decay=1e-4,
        label_smoothing=0.2,
        batch_size=32,
        warmup=0.3,
        shift=2,
        mirror=True,
        cutout=8,
        averaging=0.25,
        norm_momentum=0.5,
        test_mirror=True,
        class_weighting=0.75,
        cycles=3,
    )


def refused(message: synthesizer_pb2.Recipe) -> str:
    with pytest.raises(InvalidRequest) as caught:
        recipe_from_proto(message)
    return caught.value.field


def test_a_complete_recipe_is_read_field_by_field() -> None:
    expected = Recipe(3.0, None, 0.05, 0.8, 1e-4, 0.2, 32, 0.3, 2, True, None, 8, 0.25, 0.5, True, 0.75, 3)
    assert recipe_from_proto(complete()) == expected


def test_a_recipe_by_the_clock_has_no_epochs() -> None:
    message = complete()
    message.device_s = 7.5
    recipe = recipe_from_proto(message)
    assert (recipe.epochs, recipe.device_s) == (None, 7.5)


def test_a_recipe_by_steps_has_neither_epochs_nor_seconds() -> None:
    message = complete()
    message.steps = 40
    recipe = recipe_from_proto(message)
    assert (recipe.epochs, recipe.device_s, recipe.steps) == (None, None, 40)


@pytest.mark.parametrize("field", ["epochs", "steps", *(field for field in HYPERPARAMETERS if field not in COUNTS)])
def test_zero_is_not_unset(field: str) -> None:
    message = complete()
    setattr(message, field, 0)
    assert getattr(recipe_from_proto(message), field) == 0


@pytest.mark.parametrize("field", HYPERPARAMETERS)
def test_an_unset_field_is_named(field: str) -> None:
    message = complete()
    message.ClearField(field)  # type: ignore[arg-type]
    assert refused(message) == f"recipe.{field}"


def test_every_optional_field_is_needed() -> None:
    optional = {field.name for field in synthesizer_pb2.Recipe.DESCRIPTOR.fields if field.has_presence}
    assert optional == {*HYPERPARAMETERS, *TOTALS}


def test_a_recipe_without_an_end_is_refused() -> None:
    message = complete()
    message.ClearField("total")
    assert refused(message) == "recipe.total"


@pytest.mark.parametrize("schedule", [synthesizer_pb2.SCHEDULE_UNSPECIFIED, 17])
def test_an_unknown_schedule_is_refused(schedule: synthesizer_pb2.Schedule.ValueType) -> None:
    message = complete()
    message.schedule = schedule
    assert refused(message) == "recipe.schedule"


@pytest.mark.parametrize("schedule", Schedule)
def test_each_schedule_has_a_message(schedule: Schedule) -> None:
    message = complete()
    message.schedule = synthesizer_pb2.Schedule.Value(f"SCHEDULE_{schedule.name}")
    assert recipe_from_proto(message).schedule is schedule


@pytest.mark.parametrize("field", COUNTS)
def test_a_batch_or_a_number_of_cycles_of_nothing_is_refused(field: str) -> None:
    message = complete()
    setattr(message, field, 0)
    assert refused(message) == f"recipe.{field}"


@given(warmup=st.floats().filter(lambda value: not 0.0 <= value <= 1.0))
def test_a_warmup_beyond_the_training_is_refused(warmup: float) -> None:
    message = complete()
    message.warmup = warmup
    assert refused(message) == "recipe.warmup"


@given(averaging=st.floats().filter(lambda value: not 0.0 <= value < 1.0))
def test_an_average_over_more_than_all_steps_is_refused(averaging: float) -> None:
    message = complete()
    message.averaging = averaging
    assert refused(message) == "recipe.averaging"


@pytest.mark.parametrize("totals", [{"epochs": 1.0, "device_s": 1.0}, {"epochs": 1.0, "steps": 1}, {}])
def test_a_recipe_has_one_total(totals: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="exactly one"):
        Recipe(**totals)


@pytest.mark.parametrize("total", TOTALS)
def test_a_total_of_zero_trains_nothing(total: str) -> None:
    none: dict[str, Any] = {total: 0}
    some: dict[str, Any] = {total: 1}
    assert not Recipe(**none).trains
    assert Recipe(**some).trains
