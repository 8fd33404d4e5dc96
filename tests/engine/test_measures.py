"""The measures are those of scikit-learn, and hold where it warns: a class without rows, one never predicted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, brier_score_loss, confusion_matrix, precision_recall_fscore_support

from neunets.errors import NeunetsError
from neunets_engine.export.measures import BINS, measure

Predictions = tuple[NDArray[np.float32], NDArray[np.int64]]


@st.composite
def predictions(draw: st.DrawFn, most_classes: int = 6) -> Predictions:
    """Probabilities (N, classes) from vague to certain, labels (N,); some classes may have no row."""
    rows, classes = draw(st.integers(1, 60)), draw(st.integers(2, most_classes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = rng.normal(size=(rows, classes)) * draw(st.sampled_from([0.0, 0.3, 3.0, 300.0]))
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    labels = rng.integers(draw(st.integers(1, classes)), size=rows)
    return (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32), labels


@given(case=predictions())
def test_every_class_is_scored_as_by_scikit_learn(case: Predictions) -> None:
    probabilities, labels = case
    classes, predicted = np.arange(probabilities.shape[1]), probabilities.argmax(axis=1)
    found = measure(probabilities, labels, probabilities.shape[1])
    wanted = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=np.nan)
    got = [(score.precision, score.recall, score.f1, score.support) for score in found.classes]
    np.testing.assert_allclose(np.array(got).T, np.array(wanted), rtol=1e-12)
    np.testing.assert_array_equal(found.confusion, confusion_matrix(labels, predicted, labels=classes))


@given(case=predictions())
def test_the_means_are_over_the_classes_that_have_rows(case: Predictions) -> None:
    probabilities, labels = case
    predicted, found = probabilities.argmax(axis=1), measure(probabilities, labels, probabilities.shape[1])
    averaged = precision_recall_fscore_support(
        labels, predicted, labels=np.unique(labels), average="macro", zero_division=0.0
    )
    assert found.accuracy == pytest.approx(accuracy_score(labels, predicted), rel=1e-12)
    assert found.balanced_accuracy == pytest.approx(averaged[1], rel=1e-12)
    assert found.macro_f1 == pytest.approx(averaged[2], rel=1e-12)


@given(case=predictions())
def test_the_reliability_bins_are_scikit_learns_curve(case: Predictions) -> None:
    probabilities, labels = case
    confidence, right = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels
    accuracies, confidences = calibration_curve(right, confidence, n_bins=BINS)
    found = measure(probabilities, labels, probabilities.shape[1]).calibration
    filled = [bin_ for bin_ in found.bins if bin_.rows]
    np.testing.assert_allclose([bin_.accuracy for bin_ in filled], accuracies, rtol=1e-12)
    np.testing.assert_allclose([bin_.confidence for bin_ in filled], confidences, rtol=1e-12)
    shares = np.array([bin_.rows for bin_ in filled]) / len(labels)
    assert found.ece == pytest.approx(shares @ np.abs(accuracies - confidences), abs=1e-12)
    assert found.mean_confidence == pytest.approx(confidence.mean(), rel=1e-12)


@given(case=predictions(most_classes=2))
def test_the_brier_score_of_two_classes_is_twice_scikit_learns(case: Predictions) -> None:
    probabilities, labels = case
    wanted = 2.0 * brier_score_loss(labels, probabilities[:, 1].astype(np.float64), pos_label=1)
    assert measure(probabilities, labels, probabilities.shape[1]).calibration.brier == pytest.approx(wanted, abs=1e-6)


@given(case=predictions())
def test_bins_cover_0_to_1_and_hold_every_row(case: Predictions) -> None:
    probabilities, labels = case
    bins = measure(probabilities, labels, probabilities.shape[1]).calibration.bins
    assert [bin_.low for bin_ in bins] == [0.0, *(bin_.high for bin_ in bins[:-1])]
    assert bins[-1].high == 1.0
    assert sum(bin_.rows for bin_ in bins) == len(labels)
    assert all(math.isnan(bin_.accuracy) == (bin_.rows == 0) for bin_ in bins)


def test_a_certain_right_answer_is_perfectly_calibrated() -> None:
    found = measure(np.eye(3, dtype=np.float32), np.arange(3), 3).calibration
    assert (found.ece, found.brier, found.mean_confidence) == (0.0, 0.0, 1.0)


def test_a_certain_wrong_answer_is_as_bad_as_can_be() -> None:
    found = measure(np.eye(2, dtype=np.float32), np.array([1, 0]), 2).calibration
    assert (found.ece, found.brier) == (1.0, 2.0)


NAN = np.array([[0.5, math.nan]], np.float32)
ODD: list[tuple[NDArray[Any], NDArray[Any]]] = [
    (np.full((2, 2), 0.5, np.float32), np.array([0, 1, 1])),
    (np.full((2, 2), 0.5, np.float32), np.array([0, 2])),
    (np.full((2, 2), 0.5, np.float32), np.array([-1, 0])),
    (np.zeros((0, 2), np.float32), np.zeros(0, np.int64)),
    (np.zeros(4, np.float32), np.zeros(4, np.int64)),
    (NAN, np.array([0])),
]


@pytest.mark.parametrize(("probabilities", "labels"), ODD)
def test_predictions_that_do_not_fit_are_refused(probabilities: NDArray[Any], labels: NDArray[Any]) -> None:
    with pytest.raises(NeunetsError):
        measure(probabilities, labels, 2)
