"""The final training: the better of two networks, its test set, its probe. No other training reads the test set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from neunets.draws import generator
from neunets.errors import InvalidGraph, NotFound
from neunets.reference import initialise
from neunets.reference import run as reference
from neunets_trainer.data import Data, load_data
from neunets_trainer.recipe import Recipe
from neunets_trainer.task import Ended, Outcome, Task, Weights
from trainer.problems import Clock, assert_same_weights, network, plain_network, train, write_images

RECIPE = Recipe(epochs=8.0, batch_size=16, learning_rate=0.05)
BARELY = Recipe(epochs=1.0, batch_size=16, learning_rate=1e-8)
BY_CLOCK = Recipe(device_s=1.0, batch_size=16)


@pytest.fixture(scope="module")
def trained(data: Data) -> Ended:
    return train(Task(network(), RECIPE, 0, data))[1]


@pytest.fixture
def without_test_set(tmp_path: Path) -> Data:
    data = load_data(write_images(tmp_path), "cpu")
    (tmp_path / "x_test.npy").unlink()
    (tmp_path / "y_test.npy").unlink()
    return data


def final(data: Data, recipe: Recipe, incumbent: Weights | None) -> Ended:
    return train(Task(network(), recipe, 1, data, incumbent=incumbent, final=True))[1]


def expected_accuracy(weights: Weights, data: Data) -> float:
    test = data.test()
    return float((reference(network(), weights, test.x.numpy()).argmax(1) == test.y.numpy()).mean())


def expected_probabilities(weights: Weights, x: NDArray[Any]) -> NDArray[Any]:
    probabilities: NDArray[Any] = torch.from_numpy(reference(network(), weights, x)).softmax(1).numpy()
    return probabilities


@pytest.mark.parametrize("recipe", [RECIPE, BY_CLOCK])
def test_a_final_training_measures_the_test_set_and_leaves_a_probe(data: Data, recipe: Recipe) -> None:
    _, last = train(Task(network(), recipe, 0, data, final=True), Clock(0.05))
    assert last.outcome is Outcome.SUCCEEDED
    assert last.weights is not None
    assert last.probe is not None
    assert last.metrics["test_accuracy"] == pytest.approx(expected_accuracy(last.weights, data))
    x, probabilities = last.probe
    np.testing.assert_array_equal(x, data.valid.x.numpy())
    np.testing.assert_allclose(probabilities, expected_probabilities(last.weights, x), atol=1e-5)


@pytest.mark.parametrize("test_mirror", [False, True])
def test_the_predictions_are_of_the_whole_test_set(data: Data, test_mirror: bool) -> None:
    last = final(data, replace(RECIPE, test_mirror=test_mirror), None)
    assert last.predictions is not None
    assert last.weights is not None
    probabilities, labels = last.predictions
    x = data.test().x.numpy()
    logits = reference(network(), last.weights, x)
    if test_mirror:
        logits = (logits + reference(network(), last.weights, x[:, :, ::-1])) / 2
    np.testing.assert_array_equal(labels, data.test().y.numpy())
    np.testing.assert_allclose(probabilities, torch.from_numpy(logits).softmax(1).numpy(), atol=1e-5)
    assert last.metrics["test_accuracy"] == (probabilities.argmax(1) == labels).mean()


def test_the_predictions_are_those_of_the_kept_network(data: Data, trained: Ended) -> None:
    last = final(data, BARELY, trained.weights)
    assert last.metrics["kept_incumbent"] == 1.0
    assert last.predictions is not None
    assert trained.weights is not None
    np.testing.assert_allclose(
        last.predictions[0], expected_probabilities(trained.weights, data.test().x.numpy()), atol=1e-5
    )


def test_a_better_incumbent_is_kept(data: Data, trained: Ended) -> None:
    last = final(data, BARELY, trained.weights)
    assert last.metrics["kept_incumbent"] == 1.0
    assert last.metrics["valid_loss"] == trained.metrics["valid_loss"]
    assert_same_weights(last.weights, trained.weights)
    assert trained.weights is not None
    assert last.metrics["test_accuracy"] == pytest.approx(expected_accuracy(trained.weights, data))
    assert last.probe is not None
    np.testing.assert_allclose(last.probe[1], expected_probabilities(trained.weights, last.probe[0]), atol=1e-5)


def test_of_two_equally_accurate_networks_the_surer_is_kept(data: Data) -> None:
    surer = final(data, replace(RECIPE, epochs=30.0, label_smoothing=0.0), None)
    last = final(data, RECIPE, surer.weights)
    assert last.metrics["valid_accuracy"] == surer.metrics["valid_accuracy"] == 1.0
    assert last.metrics["kept_incumbent"] == 1.0
    assert last.metrics["valid_loss"] == surer.metrics["valid_loss"]


def test_a_worse_incumbent_is_not(data: Data) -> None:
    alone = final(data, RECIPE, None)
    last = final(data, RECIPE, initialise(network(), generator(9, 0)))
    assert last.metrics.items() >= {"kept_incumbent": 0.0, **alone.metrics}.items()
    assert_same_weights(last.weights, alone.weights)


@pytest.mark.parametrize("is_final", [False, True])
def test_zero_epochs_only_evaluate_the_incumbent(data: Data, trained: Ended, is_final: bool) -> None:
    task = Task(network(), replace(RECIPE, epochs=0.0), 1, data, incumbent=trained.weights, final=is_final)
    progress, last = train(task)
    assert progress == []
    assert last.outcome is Outcome.SUCCEEDED
    assert last.metrics["epochs"] == 0.0
    assert last.metrics["valid_accuracy"] == trained.metrics["valid_accuracy"]
    assert ("test_accuracy" in last.metrics) is is_final
    assert_same_weights(last.weights, trained.weights)


def test_an_incumbent_of_another_network_is_refused(data: Data) -> None:
    with pytest.raises(InvalidGraph, match="BAD_WEIGHTS"):
        final(data, BARELY, initialise(plain_network(), generator(9, 0)))


@pytest.mark.parametrize("recipe", [RECIPE, BY_CLOCK])
def test_only_a_final_training_reads_the_test_set(without_test_set: Data, recipe: Recipe) -> None:
    _, last = train(Task(network(), recipe, 0, without_test_set), Clock(0.05))
    assert last.outcome is Outcome.SUCCEEDED
    assert "test_accuracy" not in last.metrics
    assert last.probe is None
    assert last.predictions is None


@pytest.mark.parametrize("recipe", [BARELY, BY_CLOCK])
def test_a_final_training_without_a_test_set_says_what_is_missing(without_test_set: Data, recipe: Recipe) -> None:
    with pytest.raises(NotFound, match=r"_test\.npy is missing"):
        train(Task(network(), recipe, 0, without_test_set, final=True), Clock(0.05))
