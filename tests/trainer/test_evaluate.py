"""What is measured of a network is what scikit-learn computes from its probabilities."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss

from neunets.graph import DataType, Graph, Input, Node
from neunets.reference import run
from neunets_trainer.build import Network, build
from neunets_trainer.data import Split
from neunets_trainer.evaluate import Score, logits_of, measures, predict, score, score_of
from strategies import Case, cases

# That scikit-learn has its doubts where classes have no rows is no fault.
pytestmark = [
    pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true:UserWarning"),
    pytest.mark.filterwarnings("ignore:A single label was found:UserWarning"),
]


@dataclass(frozen=True)
class Answers:
    """Of a network whose logits are its pixels: images (N, 1, classes, 1), and labels of which some may be absent."""

    x: NDArray[np.uint8]
    y: NDArray[np.int64]

    @property
    def classes(self) -> int:
        return int(self.x.shape[2])

    @property
    def logits(self) -> NDArray[np.float64]:
        return self.x[:, 0, :, 0] / 32.0

    @property
    def split(self) -> Split:
        return Split(torch.from_numpy(self.x), torch.from_numpy(self.y))

    def network(self) -> Network:
        image = Input("image", self.x.shape[1:], DataType.UINT8, (0.0,), (32.0,))
        nodes = (Node("flat", "flatten", ("image",)), Node("logits", "linear", ("flat",), {"units": self.classes}))
        unchanged = np.eye(self.classes, dtype=np.float32)
        weights = {"logits.weight": unchanged, "logits.bias": np.zeros(self.classes, np.float32)}
        return build(Graph(image, nodes, "logits"), weights)


@st.composite
def answers(draw: st.DrawFn) -> Answers:
    """Up to three blocks of them; no two logits of a row are equal."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, classes = draw(st.integers(1, 600)), draw(st.integers(2, 6))
    pixels = rng.permuted(np.tile(np.arange(0, 256, 8, dtype=np.uint8), (rows, 1)), axis=1)[:, :classes]
    present = draw(st.lists(st.integers(0, classes - 1), min_size=1, unique=True))
    return Answers(pixels[:, None, :, None], rng.choice(np.array(present, np.int64), rows))


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def expected(logits: NDArray[np.float64], y: NDArray[np.int64]) -> Any:
    """Of rows with `logits` (N, classes)."""
    predicted = logits.argmax(1)
    values = (
        accuracy_score(y, predicted),
        balanced_accuracy_score(y, predicted),
        f1_score(y, predicted, labels=np.unique(y), average="macro"),
        log_loss(y, softmax(logits), labels=np.arange(logits.shape[1])),
    )
    return pytest.approx(values, rel=1e-5, abs=1e-6)


@settings(max_examples=50)
@given(case=answers())
def test_a_score_is_that_of_scikit_learn(case: Answers) -> None:
    assert astuple(score(case.network(), case.split)) == expected(case.logits, case.y)


@settings(max_examples=50)
@given(case=answers())
def test_a_score_of_probabilities_is_that_of_scikit_learn(case: Answers) -> None:
    probabilities = softmax(case.logits).astype(np.float32)
    assert astuple(score_of(probabilities, case.y)) == expected(case.logits, case.y)


@given(case=answers(), rows=st.none() | st.integers(1, 700), with_mirror=st.booleans())
def test_what_is_predicted_has_the_score_that_was_measured(case: Answers, rows: int | None, with_mirror: bool) -> None:
    network = case.network()
    predicted = predict(network, case.split, with_mirror, rows)
    assert predicted.dtype == np.float32
    np.testing.assert_allclose(predicted.sum(axis=1), 1.0, rtol=1e-5)
    if not with_mirror:  # of the mean of two, logits may be equal
        measured = score(network, case.split, with_mirror, rows)
        assert astuple(score_of(predicted, case.y[:rows])) == pytest.approx(astuple(measured), rel=1e-5, abs=1e-6)


@settings(max_examples=50)
@given(case=answers(), rows=st.integers(1, 700))
def test_only_the_first_rows_are_measured(case: Answers, rows: int) -> None:
    assert astuple(score(case.network(), case.split, rows=rows)) == expected(case.logits[:rows], case.y[:rows])


@given(
    confusion=st.integers(2, 5).flatmap(lambda side: st.lists(st.integers(0, 9), min_size=side**2, max_size=side**2))
)
def test_measures_are_those_of_the_rows_that_were_counted(confusion: list[int]) -> None:
    side = math.isqrt(len(confusion))
    counts = np.array(confusion, np.int64).reshape(side, side)
    counts[0, 0] += counts.sum() == 0
    true, predicted = (np.repeat(places.ravel(), counts.ravel()) for places in np.indices((side, side)))
    found = measures(counts, 3.0)
    assert found.accuracy == pytest.approx(accuracy_score(true, predicted))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(true, predicted))
    assert found.macro_f1 == pytest.approx(f1_score(true, predicted, labels=np.unique(true), average="macro"))
    assert found.loss == pytest.approx(3.0 / len(true))


@given(case=cases())
def test_with_the_mirror_logits_are_the_mean_of_both_images(case: Case) -> None:
    network = build(case.graph, case.weights).eval()
    logits = run(case.graph, case.weights, case.x)
    if case.x.ndim == 4:
        logits = (logits + run(case.graph, case.weights, case.x[:, :, ::-1])) / 2
    with torch.no_grad():
        found = logits_of(network, torch.from_numpy(case.x), with_mirror=True).numpy()
    np.testing.assert_allclose(found, logits, rtol=1e-3, atol=1e-4)


@given(case=answers())
def test_a_mirror_takes_part_in_scores_and_predictions(case: Answers) -> None:
    both = (case.logits + case.logits[:, ::-1]) / 2
    np.testing.assert_allclose(predict(case.network(), case.split, with_mirror=True), softmax(both), rtol=1e-4)
    loss = log_loss(case.y, softmax(both), labels=np.arange(case.classes))
    assert score(case.network(), case.split, with_mirror=True).loss == pytest.approx(loss, rel=1e-5, abs=1e-6)


def test_of_no_rows_nothing_is_known() -> None:
    none = Answers(np.zeros((0, 1, 2, 1), np.uint8), np.zeros(0, np.int64))
    assert all(map(math.isnan, astuple(score(none.network(), none.split))))


def test_a_probability_of_zero_has_a_finite_loss() -> None:
    assert 80.0 < score_of(np.array([[1.0, 0.0]], np.float32), np.array([1])).loss < 100.0


def test_measures_have_the_names_of_their_split() -> None:
    assert Score(0.1, 0.2, 0.3, 0.4).metrics("valid") == {
        "valid_accuracy": 0.1,
        "valid_balanced_accuracy": 0.2,
        "valid_macro_f1": 0.3,
        "valid_loss": 0.4,
    }


def test_an_evaluation_leaves_the_network_in_training_mode() -> None:
    case = Answers(np.zeros((3, 1, 2, 1), np.uint8), np.zeros(3, np.int64))
    network = case.network()
    score(network, case.split)
    predict(network, case.split)
    assert network.training
