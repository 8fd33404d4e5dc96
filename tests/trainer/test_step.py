"""What a step does: which rows it takes, how their losses are weighted, and how batch norm follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neunets.draws import generator
from neunets.graph import Graph, Node
from neunets.reference import initialise
from neunets.reference import run as reference
from neunets_trainer.build import Network, build, load_weights, named_tensors, weights_of
from neunets_trainer.data import Data, Split
from neunets_trainer.layers import BatchNorm
from neunets_trainer.optimizer import Nesterov
from neunets_trainer.recipe import Recipe
from neunets_trainer.step import Stepper
from neunets_trainer.task import Task, Weights
from trainer.problems import CLASSES, IMAGE, assert_same_weights, network, plain_network

IDLE = Recipe(epochs=1.0, batch_size=16, learning_rate=1e-12, label_smoothing=0.0)
SHAKEN = Recipe(epochs=1.0, batch_size=16, learning_rate=0.1, momentum=0.0, shift=2, mirror=True, cutout=3)
STEPS_AN_EPOCH = 6
# Of classes, of which some have no rows.
LABELS = st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=30)


def begin(task: Task) -> tuple[Network, Stepper]:
    """With the weights of seed 7, or the incumbent's."""
    weights: Weights = task.incumbent or initialise(task.graph, generator(7, 0))
    built = build(task.graph, weights)
    trained = {key: value for key, value in named_tensors(built) if value.requires_grad}
    optimizer = Nesterov(trained, task.recipe.momentum, task.recipe.weight_decay)
    return built, Stepper(built, optimizer, None, task)


def labelled(labels: list[int]) -> Split:
    images = np.random.default_rng(len(labels)).integers(0, 256, (len(labels), *IMAGE.shape), dtype=np.uint8)
    return Split(torch.from_numpy(images), torch.tensor(labels))


def normalising(momentum: float) -> Graph:
    """The first norm sees the pixels themselves."""
    nodes = (
        Node("norm", "batch_norm", ("image",), {"momentum": momentum}),
        Node("flat", "flatten", ("norm",)),
        Node("logits", "linear", ("flat",), {"units": CLASSES}),
    )
    return Graph(IMAGE, nodes, "logits")


def norm_of(built: Network) -> BatchNorm:
    (norm,) = (layer for layer in built.layers if isinstance(layer, BatchNorm))
    return norm


def smoothed_losses(labels: list[int], smoothing: float, class_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) of the untrained plain network: each class's part of an example's loss has the weight of that class."""
    split, graph = labelled(labels), plain_network()
    logits = reference(graph, initialise(graph, generator(7, 0)), split.x.numpy()).astype(np.float64)
    surprise = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
    surprise = surprise - logits + logits.max(1, keepdims=True)  # -log p
    targets = (1.0 - smoothing) * np.eye(CLASSES)[labels] + smoothing / CLASSES
    losses: NDArray[np.float64] = (targets * class_weights * surprise).sum(1)
    return losses


def loss_of(data: Data, labels: list[int], power: float, smoothing: float = 0.0) -> float:
    """Of one step over all rows."""
    recipe = replace(IDLE, batch_size=len(labels), class_weighting=power, label_smoothing=smoothing)
    _, stepper = begin(Task(plain_network(), recipe, 0, replace(data, train=labelled(labels))))
    stepper.run(0, 0.5)
    return stepper.mean_loss()


@given(labels=LABELS, power=st.floats(0.0, 1.0))
def test_the_loss_is_the_mean_over_the_rows_weighted_by_their_classes(
    data: Data, labels: list[int], power: float
) -> None:
    row_weights = np.bincount(labels)[labels].astype(np.float64) ** -power
    expected = np.average(smoothed_losses(labels, 0.0, np.ones(CLASSES)), weights=row_weights)
    assert loss_of(data, labels, power) == pytest.approx(expected, rel=1e-4)


@given(labels=LABELS)
def test_with_power_one_each_class_has_the_same_part_of_the_loss(data: Data, labels: list[int]) -> None:
    losses, classes = smoothed_losses(labels, 0.0, np.ones(CLASSES)), np.array(labels)
    expected = np.mean([losses[classes == label].mean() for label in np.unique(classes)])
    assert loss_of(data, labels, 1.0) == pytest.approx(expected, rel=1e-4)


@given(labels=LABELS, power=st.floats(0.1, 1.0), smoothing=st.floats(0.0, 0.9))
def test_a_class_without_rows_has_no_part_in_a_weighted_loss(
    data: Data, labels: list[int], power: float, smoothing: float
) -> None:
    rows = np.bincount(labels, minlength=CLASSES)
    weights = np.where(rows > 0, np.maximum(rows, 1.0) ** -power, 0.0)
    weights *= len(labels) / (weights * rows).sum()
    expected = smoothed_losses(labels, smoothing, weights).mean()
    assert loss_of(data, labels, power, smoothing) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("with_validation", [False, True])
@pytest.mark.parametrize("epochs", [1, 2])
def test_statistics_are_at_first_plain_means_over_the_epochs_rows(
    data: Data, epochs: int, with_validation: bool
) -> None:
    rows = torch.cat([data.train.x, data.valid.x]) if with_validation else data.train.x
    recipe = replace(IDLE, batch_size=len(rows) // STEPS_AN_EPOCH)
    task = Task(normalising(0.01), recipe, 0, data, trains_on_validation=with_validation)
    built, stepper = begin(task)
    assert stepper.steps_an_epoch == STEPS_AN_EPOCH
    for step in range(epochs * STEPS_AN_EPOCH):
        stepper.run(step, 0.5)
    expected = (rows.double().mean() - IMAGE.mean[0]) / IMAGE.std[0]
    assert float(norm_of(built).running_mean) == pytest.approx(float(expected), rel=1e-4)


@given(step=st.integers(0, 200), own=st.floats(0.0, 1.0), asked=st.just(0.0) | st.floats(0.01, 1.0))
def test_the_share_of_a_batch_in_the_statistics_falls_to_that_of_the_recipe_or_the_node(
    data: Data, step: int, own: float, asked: float
) -> None:
    built, stepper = begin(Task(normalising(own), replace(IDLE, norm_momentum=asked), 0, data))
    stepper.run(step, 0.5)
    assert norm_of(built).momentum == max(asked or own, 1.0 / (step + 1))


@settings(max_examples=30)
@given(before=st.lists(st.integers(0, 20), max_size=3), step=st.integers(0, 20), parts=st.integers(1, 3))
def test_what_a_step_does_follows_from_its_number_and_the_weights(
    data: Data, before: list[int], step: int, parts: int
) -> None:
    task = Task(network(), SHAKEN, 3, data, accumulate=parts)
    alone, expected = begin(task)
    expected.run(step, 0.5)
    built, stepper = begin(task)
    start = weights_of(built)
    for other in before:
        stepper.run(other, 0.1)
    load_weights(built, start)
    stepper.mean_loss()
    stepper.run(step, 0.5)
    assert_same_weights(weights_of(built), weights_of(alone))
    assert stepper.mean_loss() == expected.mean_loss()


def test_a_batch_is_no_larger_than_the_data(data: Data) -> None:
    _, stepper = begin(Task(plain_network(), replace(IDLE, batch_size=1000), 0, data))
    assert (stepper.batch, stepper.steps_an_epoch) == (len(data.train), 1)


def test_the_mean_loss_is_that_since_it_was_asked_for(data: Data) -> None:
    _, stepper = begin(Task(plain_network(), IDLE, 0, data))
    losses = []
    for step in range(3):
        stepper.run(step, 0.5)
        losses.append(stepper.mean_loss())
    for step in range(3):
        stepper.run(step, 0.5)
    assert stepper.losses == 3
    assert stepper.mean_loss() == pytest.approx(np.mean(losses))
    assert stepper.losses == 0
