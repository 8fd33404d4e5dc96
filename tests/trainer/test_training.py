"""Trainings learn, repeat themselves, and go on from a checkpoint as if they had never stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neunets.draws import generator
from neunets.graph import DataType, Graph, Input, Node
from neunets.machine import MemoryFormat, Precision
from neunets.reference import initialise
from neunets_trainer.checkpoint import decode_checkpoint, encode_checkpoint
from neunets_trainer.data import Data, load_data
from neunets_trainer.recipe import Recipe
from neunets_trainer.schedule import Schedule, constant, cosine_restarts, one_cycle
from neunets_trainer.task import Ended, Outcome, Progress, Task
from neunets_trainer.training import run
from trainer.problems import Clock, assert_same_weights, network, plain_network, train, write_sequences

RECIPE = Recipe(epochs=10.0, batch_size=16, learning_rate=0.05)
SHAKEN = replace(RECIPE, epochs=2.0, shift=2, mirror=True, cutout=3, averaging=0.3, class_weighting=0.5)
STEPS = 12  # of two epochs
EVENT_S = 6.0  # each step is reported with a checkpoint


def curve(events: list[Progress]) -> list[Progress]:
    """Without what the process holds: its memory, its checkpoints."""
    measured = [{key: value for key, value in event.metrics.items() if key != "memory_bytes"} for event in events]
    return [replace(event, metrics=metrics, checkpoint=None) for event, metrics in zip(events, measured, strict=True)]


def shaken(data: Data, precision: Precision, momentum: float) -> Task:
    channels_last = precision is Precision.BFLOAT16
    memory_format = MemoryFormat.CHANNELS_LAST if channels_last else MemoryFormat.CONTIGUOUS
    recipe = replace(SHAKEN, momentum=momentum)
    return Task(network(), recipe, 3, data, precision=precision, memory_format=memory_format)


@pytest.mark.parametrize("precision", Precision)
def test_it_learns(data: Data, precision: Precision) -> None:
    progress, last = train(Task(network(), RECIPE, 0, data, precision=precision))
    assert last.outcome is Outcome.SUCCEEDED
    assert last.metrics["valid_accuracy"] >= 0.95
    assert last.metrics["train_loss"] < progress[0].metrics["train_loss"]


def test_it_learns_sequences(tmp_path: Path) -> None:
    data = load_data(write_sequences(tmp_path), "cpu")
    nodes = (
        Node("conv", "conv", ("sequence",), {"channels": 8, "kernel": 5}),
        Node("relu", "activation", ("conv",), {"function": "relu"}),
        Node("pool", "global_pool", ("relu",), {"function": "max"}),
        Node("logits", "linear", ("pool",), {"units": 3}),
    )
    graph = Graph(Input("sequence", (20, 2), DataType.FLOAT32, (0.0, 0.0), (1.0, 1.0)), nodes, "logits")
    _, last = train(Task(graph, replace(RECIPE, shift=2, mirror=True), 0, data))
    assert last.metrics["valid_accuracy"] >= 0.95


def test_weights_are_float32_whatever_the_steps_are(data: Data) -> None:
    _, last = train(shaken(data, Precision.BFLOAT16, 0.9))
    assert last.weights is not None
    assert {value.dtype for value in last.weights.values()} == {np.dtype(np.float32)}


def test_the_same_seed_repeats_the_training(data: Data) -> None:
    task = shaken(data, Precision.FLOAT32, 0.9)
    (one, one_end), (other, other_end) = train(task, Clock(EVENT_S)), train(task, Clock(EVENT_S))
    assert curve(one) == curve(other)
    assert one_end.metrics == other_end.metrics
    assert_same_weights(one_end.weights, other_end.weights)


def test_another_seed_is_another_training(data: Data) -> None:
    task = shaken(data, Precision.FLOAT32, 0.9)
    one, other = train(task, Clock(EVENT_S))[0], train(replace(task, seed=4), Clock(EVENT_S))[0]
    assert all(a.metrics["train_loss"] != b.metrics["train_loss"] for a, b in zip(one, other, strict=True))


def test_each_epoch_has_every_row_once_in_an_order_of_its_own(data: Data) -> None:
    idle = replace(RECIPE, epochs=2.0, learning_rate=1e-12)
    losses = [event.metrics["train_loss"] for event in train(Task(plain_network(), idle, 0, data), Clock(EVENT_S))[0]]
    first, second = losses[: STEPS // 2], losses[STEPS // 2 :]
    assert sorted(first) != sorted(second)
    assert np.mean(first) == pytest.approx(np.mean(second), rel=1e-5)


@settings(max_examples=25)
@given(
    stop=st.integers(1, STEPS - 1),
    precision=st.sampled_from(Precision),
    momentum=st.sampled_from((0.0, 0.9)),
    averaging=st.sampled_from((0.0, 0.3)),
)
def test_a_resumed_training_has_the_curve_of_an_undisturbed_one(
    data: Data, stop: int, precision: Precision, momentum: float, averaging: float
) -> None:
    task = shaken(data, precision, momentum)
    task = replace(task, recipe=replace(task.recipe, averaging=averaging))
    undisturbed, expected = train(task, Clock(EVENT_S))
    kept = undisturbed[stop - 1]
    assert kept.step == stop
    assert kept.checkpoint is not None
    checkpoint = decode_checkpoint(encode_checkpoint(kept.checkpoint))
    resumed, last = train(replace(task, checkpoint=checkpoint), Clock(EVENT_S))
    assert curve(resumed) == curve(undisturbed[stop:])
    assert last.metrics == expected.metrics
    assert_same_weights(last.weights, expected.weights)


def test_after_the_last_step_only_the_evaluation_is_left(data: Data) -> None:
    task = shaken(data, Precision.FLOAT32, 0.9)
    undisturbed, expected = train(task, Clock(EVENT_S))
    resumed, last = train(replace(task, checkpoint=undisturbed[-1].checkpoint), Clock(EVENT_S))
    assert resumed == []
    assert last.metrics["valid_loss"] == expected.metrics["valid_loss"]
    assert_same_weights(last.weights, expected.weights)


@pytest.mark.parametrize("schedule", Schedule)
def test_the_rate_follows_the_schedule_of_the_recipe(data: Data, schedule: Schedule) -> None:
    recipe = replace(RECIPE, epochs=None, steps=14, cycles=3, schedule=schedule)
    progress, _ = train(Task(plain_network(), recipe, 0, data), Clock(EVENT_S))
    places = [(step + 0.5) / 14 for step in range(14)]
    steps_an_epoch = len(data.train) // recipe.batch_size
    expected = {
        Schedule.ONE_CYCLE: [one_cycle(place, recipe.learning_rate, recipe.warmup) for place in places],
        Schedule.COSINE_RESTARTS: [cosine_restarts(place, recipe.learning_rate, 3) for place in places],
        Schedule.CONSTANT: [
            constant(14 * place / steps_an_epoch, recipe.learning_rate, recipe.warmup) for place in places
        ],
    }
    assert [event.metrics["learning_rate"] for event in progress] == expected[schedule]


def test_a_checkpoint_is_a_copy(data: Data) -> None:
    events = run(shaken(data, Precision.FLOAT32, 0.9), (clock := Clock(EVENT_S)).order, clock)
    first = next(events)
    assert isinstance(first, Progress)
    assert first.checkpoint is not None
    before = decode_checkpoint(encode_checkpoint(first.checkpoint))
    *_, last = events
    assert isinstance(last, Ended)
    assert_same_weights(first.checkpoint.weights, before.weights)
    assert_same_weights(first.checkpoint.momentum, before.momentum)
    assert_same_weights(first.checkpoint.average, before.average)


def test_the_averaged_weights_are_kept_and_the_last_ones_trained_on(data: Data) -> None:
    task = Task(plain_network(), replace(RECIPE, epochs=2.0, averaging=0.5), 0, data)
    progress, averaged = train(task, Clock(EVENT_S))
    last_progress, last = train(replace(task, recipe=replace(task.recipe, averaging=0.0)), Clock(EVENT_S))
    losses, last_losses = ([event.metrics["train_loss"] for event in events] for events in (progress, last_progress))
    assert losses == last_losses
    assert averaged.weights is not None
    assert last.weights is not None
    assert not np.array_equal(averaged.weights["conv.weight"], last.weights["conv.weight"])
    kept = progress[-1].checkpoint
    assert kept is not None
    assert_same_weights(kept.average, averaged.weights)


@settings(max_examples=15)
@given(parts=st.integers(2, 20))
def test_gradients_add_up_to_those_of_the_whole_batch(data: Data, parts: int) -> None:
    task = Task(plain_network(), SHAKEN, 5, data)
    assert_same_weights(train(replace(task, accumulate=parts))[1].weights, train(task)[1].weights, atol=1e-5)


def test_no_part_of_a_batch_is_a_single_row(data: Data) -> None:
    nodes = (
        Node("flat", "flatten", ("image",)),
        Node("norm", "batch_norm", ("flat",)),  # has no variance over one row
        Node("logits", "linear", ("norm",), {"units": 4}),
    )
    task = Task(
        replace(plain_network(), nodes=nodes), replace(RECIPE, epochs=1.0, batch_size=13), 0, data, accumulate=4
    )
    assert train(task)[1].outcome is Outcome.SUCCEEDED


def test_a_sliver_of_an_epoch_is_a_step(data: Data) -> None:
    _, last = train(Task(plain_network(), replace(RECIPE, epochs=0.01), 0, data))
    assert last.metrics["epochs"] == pytest.approx(1 / 6)


@settings(max_examples=20)
@given(steps=st.integers(1, 3 * STEPS))
def test_a_training_by_steps_has_so_many(data: Data, steps: int) -> None:
    progress, last = train(Task(plain_network(), Recipe(steps=steps, batch_size=16), 0, data), Clock(EVENT_S))
    assert last.outcome is Outcome.SUCCEEDED
    assert [event.step for event in progress] == list(range(1, steps + 1))
    assert last.metrics["epochs"] == pytest.approx(steps / 6)


def test_a_continued_training_begins_with_the_incumbents_weights(data: Data) -> None:
    _, trained = train(Task(plain_network(), replace(RECIPE, epochs=30.0, label_smoothing=0.0), 0, data))
    once = Recipe(steps=1, batch_size=16, learning_rate=1e-12, label_smoothing=0.0)
    task = Task(plain_network(), once, 1, data, incumbent=trained.weights, continues=True)
    (goes_on,), last = train(task, Clock(EVENT_S))
    (afresh,), other = train(replace(task, continues=False), Clock(EVENT_S))
    assert goes_on.metrics["train_loss"] < 0.2 * afresh.metrics["train_loss"]
    assert_same_weights(last.weights, trained.weights, atol=1e-6)
    assert last.weights is not None
    assert other.weights is not None
    assert not np.allclose(other.weights["conv.weight"], last.weights["conv.weight"])


def test_a_checkpoint_goes_before_the_incumbent(data: Data) -> None:
    task = shaken(data, Precision.FLOAT32, 0.9)
    undisturbed, expected = train(task, Clock(EVENT_S))
    incumbent = initialise(task.graph, generator(9, 0))
    again = replace(task, checkpoint=undisturbed[3].checkpoint, incumbent=incumbent, continues=True)
    assert_same_weights(train(again, Clock(EVENT_S))[1].weights, expected.weights)
