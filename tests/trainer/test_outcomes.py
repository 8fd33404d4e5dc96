"""How a training ends: by order, by the clock, by numbers that are none, by what torch refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neunets.graph import Node
from neunets_trainer.data import Data, Split
from neunets_trainer.recipe import Recipe
from neunets_trainer.task import Ended, Order, Outcome, Task
from neunets_trainer.training import run
from trainer.problems import Clock, network, plain_network, train

RECIPE = Recipe(epochs=2.0, batch_size=16)
STEPS_AN_EPOCH = 6
BY_CLOCK = Recipe(device_s=1.0, batch_size=16)


@pytest.mark.parametrize("steps", [0, 5])
def test_an_order_to_finish_leaves_a_stopped_training_with_its_weights(data: Data, steps: int) -> None:
    orders = chain(repeat(Order.CONTINUE, steps), repeat(Order.FINISH))
    _, last = train(Task(network(), RECIPE, 0, data), order=lambda: next(orders))
    assert last.outcome is Outcome.STOPPED
    assert last.metrics["epochs"] == steps / STEPS_AN_EPOCH
    assert 0.0 <= last.metrics["valid_accuracy"] <= 1.0
    assert last.weights is not None


def test_nothing_comes_after_an_order_to_abort(data: Data) -> None:
    orders = chain(repeat(Order.CONTINUE, 3), repeat(Order.ABORT))
    clock = Clock(2.0)
    events = list(run(Task(network(), RECIPE, 0, data), lambda: (clock.order(), next(orders))[1], clock))
    assert len(events) == 3
    assert not any(isinstance(event, Ended) for event in events)


def test_a_passed_deadline_is_an_outcome(data: Data) -> None:
    _, last = train(Task(network(), RECIPE, 0, data, deadline_s=4.5), Clock(1.0))
    assert last.outcome is Outcome.TIMED_OUT
    assert last.metrics["epochs"] == 5 / STEPS_AN_EPOCH
    assert last.device_s >= 4.5
    assert "4.5 s" in last.error


def test_seconds_of_earlier_attempts_count_for_the_deadline(data: Data) -> None:
    _, last = train(Task(network(), RECIPE, 0, data, deadline_s=4.5, device_s_used=3.0), Clock(1.0))
    assert last.outcome is Outcome.TIMED_OUT
    assert last.metrics["epochs"] == 2 / STEPS_AN_EPOCH


@settings(max_examples=20)
@given(step_s=st.floats(0.02, 0.4), look_s=st.floats(0.0, 1e-3))
def test_a_training_by_the_clock_ends_within_its_seconds(data: Data, step_s: float, look_s: float) -> None:
    _, last = train(Task(plain_network(), BY_CLOCK, 0, data), Clock(step_s, look_s))
    assert last.outcome is Outcome.SUCCEEDED
    assert last.device_s <= 1.0
    assert last.device_s + step_s > 0.9


def test_seconds_of_earlier_attempts_count_for_the_clock(data: Data) -> None:
    _, last = train(Task(plain_network(), BY_CLOCK, 0, data, device_s_used=0.7), Clock(0.05))
    assert 0.8 <= last.device_s <= 1.0
    assert 1 <= last.metrics["epochs"] * STEPS_AN_EPOCH <= 5


def test_a_training_whose_seconds_are_spent_has_one_step(data: Data) -> None:
    _, last = train(Task(plain_network(), BY_CLOCK, 0, data, device_s_used=5.0), Clock(0.1))
    assert last.outcome is Outcome.SUCCEEDED
    assert last.metrics["epochs"] == 1 / STEPS_AN_EPOCH


def test_a_huge_learning_rate_ends_in_no_number(data: Data) -> None:
    _, last = train(Task(plain_network(), replace(RECIPE, learning_rate=1e30), 0, data), Clock(2.0))
    assert last.outcome is Outcome.NOT_A_NUMBER
    assert last.metrics["epochs"] < 1.0  # at once, not at the end
    assert last.weights is None
    assert last.error


@settings(max_examples=40)
@given(exponent=st.floats(0.0, 38.0), epochs=st.sampled_from((1 / 6, 2 / 6, 3.0)), step_s=st.sampled_from((0.0, 2.0)))
def test_what_succeeds_has_measured_numbers(data: Data, exponent: float, epochs: float, step_s: float) -> None:
    recipe = replace(RECIPE, epochs=epochs, learning_rate=10.0**exponent)
    _, last = train(Task(plain_network(), recipe, 0, data), Clock(step_s))
    assert last.outcome in (Outcome.SUCCEEDED, Outcome.NOT_A_NUMBER)
    if last.outcome is Outcome.SUCCEEDED:
        assert all(math.isfinite(value) for value in last.metrics.values())


def test_without_validation_rows_the_accuracy_is_unknown(data: Data) -> None:
    none = Split(data.valid.x[:0], data.valid.y[:0])
    _, last = train(Task(plain_network(), RECIPE, 0, replace(data, valid=none)))
    assert last.outcome is Outcome.SUCCEEDED
    assert math.isnan(last.metrics["valid_accuracy"])


def test_what_torch_refuses_to_train_is_a_failure(data: Data) -> None:
    nodes = (
        Node("flat", "flatten", ("image",)),
        Node("norm", "batch_norm", ("flat",)),
        Node("logits", "linear", ("norm",), {"units": 4}),
    )
    graph = replace(plain_network(), nodes=nodes)
    _, last = train(Task(graph, replace(RECIPE, batch_size=1), 0, data))  # one value per channel has no variance
    assert last.outcome is Outcome.FAILED
    assert "more than 1 value per channel" in last.error
