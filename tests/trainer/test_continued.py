"""A training with a constant rate that is continued, however often, is bit for bit the longer training."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neunets_trainer.checkpoint import decode_checkpoint, encode_checkpoint
from neunets_trainer.data import Data
from neunets_trainer.recipe import Recipe
from neunets_trainer.schedule import Schedule
from neunets_trainer.task import Order, Outcome, Task
from trainer.problems import Clock, assert_same_weights, network, train

EPOCHS = 6
recipes = st.builds(
    Recipe,
    epochs=st.just(float(EPOCHS)),
    batch_size=st.just(16),
    learning_rate=st.sampled_from((0.02, 0.1)),
    warmup=st.sampled_from((0.0, 0.5, 1.0)),
    shift=st.integers(0, 2),
    mirror=st.booleans(),
    averaging=st.sampled_from((0.0, 0.3)),
    schedule=st.just(Schedule.CONSTANT),
)
rungs = st.sets(st.integers(1, EPOCHS - 1), max_size=3).map(sorted)


@settings(max_examples=25)
@given(recipe=recipes, seed=st.integers(0, 2**48 - 1), ends=rungs)
def test_a_training_in_rungs_is_the_whole_training(data: Data, recipe: Recipe, seed: int, ends: list[int]) -> None:
    task = Task(network(), recipe, seed, data)
    _, expected = train(task, Clock(1.0))
    for epochs in ends:
        part = replace(task, recipe=replace(recipe, epochs=float(epochs)), keeps_checkpoint=True)
        _, ended = train(part, Clock(1.0))
        assert ended.checkpoint is not None
        assert ended.metrics["epochs"] == epochs
        task = replace(task, checkpoint=decode_checkpoint(encode_checkpoint(ended.checkpoint)))
    _, continued = train(task, Clock(1.0))
    assert continued.metrics["epochs"] == EPOCHS
    assert continued.metrics["valid_loss"] == expected.metrics["valid_loss"]
    assert_same_weights(continued.weights, expected.weights)


def test_seconds_count_from_the_first_step(data: Data) -> None:
    task = Task(network(), Recipe(epochs=2.0, schedule=Schedule.CONSTANT), 0, data, keeps_checkpoint=True)
    _, first = train(task, Clock(1.0))
    assert first.checkpoint is not None
    longer = replace(task, recipe=replace(task.recipe, epochs=4.0), checkpoint=first.checkpoint)
    _, second = train(longer, Clock(1.0))
    assert second.device_s >= 2.0 * first.device_s - 1.0


@pytest.mark.parametrize("keeps", [False, True])
def test_a_checkpoint_is_left_where_it_is_asked_for(data: Data, keeps: bool) -> None:
    _, ended = train(Task(network(), Recipe(epochs=1.0), 0, data, keeps_checkpoint=keeps))
    assert (ended.checkpoint is not None) is keeps


def test_a_training_that_is_told_to_finish_can_be_continued(data: Data) -> None:
    task = Task(network(), Recipe(epochs=6.0, schedule=Schedule.CONSTANT), 3, data, keeps_checkpoint=True)
    _, expected = train(task, Clock(1.0))
    orders = iter([Order.CONTINUE] * 5)
    _, stopped = train(task, Clock(1.0), lambda: next(orders, Order.FINISH))
    assert stopped.outcome is Outcome.STOPPED
    assert stopped.checkpoint is not None
    assert stopped.checkpoint.step == 5
    _, continued = train(replace(task, checkpoint=stopped.checkpoint), Clock(1.0))
    assert_same_weights(continued.weights, expected.weights)
