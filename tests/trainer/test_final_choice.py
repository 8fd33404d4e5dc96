"""Which of two networks a final training keeps, by whatever metric, and whose figures it reports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, recall_score

from neunets.graph import DataType, Graph, Input, Node
from neunets_trainer.checkpoint import Checkpoint
from neunets_trainer.data import Data, Split
from neunets_trainer.recipe import Recipe
from neunets_trainer.task import Ended, Order, Outcome, Task, Weights
from trainer.problems import train

CLASSES: Final = 3
METRICS: Final = ("valid_accuracy", "valid_balanced_accuracy", "valid_macro_f1")
# Line 0 of an image says what the trained network answers, line 1 what the incumbent does.
IMAGE: Final = Input("image", (2, CLASSES, 1), DataType.UINT8, (0.0,), (255.0,))
GRAPH: Final = Graph(
    IMAGE,
    (Node("flat", "flatten", ("image",)), Node("logits", "linear", ("flat",), {"units": CLASSES, "bias": False})),
    "logits",
)
STEP: Final = 5
answers = st.lists(st.tuples(*[st.integers(0, CLASSES - 1)] * 3), min_size=1, max_size=12)


@dataclass(frozen=True)
class Rivals:
    """(N,) labels, and what both networks answer."""

    y: tuple[int, ...]
    trained: tuple[int, ...]
    incumbent: tuple[int, ...]

    def figure(self, metric: str, predicted: tuple[int, ...]) -> float:
        present = sorted(set(self.y))
        if metric == "valid_accuracy":
            return float(accuracy_score(self.y, predicted))
        measure = recall_score if metric == "valid_balanced_accuracy" else f1_score
        return float(measure(self.y, predicted, labels=present, average="macro", zero_division=0.0))


def weights(line: int) -> Weights:
    return {"logits.weight": 3.0 * np.eye(CLASSES, 2 * CLASSES, CLASSES * line, dtype=np.float32)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a test set of one row."""
    path = tmp_path_factory.mktemp("arrays")
    np.save(path / "x_test.npy", np.zeros((1, *IMAGE.shape), np.uint8))
    np.save(path / "y_test.npy", np.zeros(1, np.int64))
    return path


def final(folder: Path, rivals: Rivals, metric: str, trains_on_validation: bool = False) -> Ended:
    """Its training ends with the step of its checkpoint."""
    x = np.zeros((len(rivals.y), *IMAGE.shape), np.uint8)
    for line, predicted in enumerate((rivals.trained, rivals.incumbent)):
        x[np.arange(len(x)), line, predicted] = 255
    rows = Split(torch.from_numpy(x), torch.tensor(rivals.y))
    done = Checkpoint(STEP, 0.0, weights(0), {key: np.zeros_like(value) for key, value in weights(0).items()})
    task = Task(GRAPH, Recipe(steps=STEP), 0, Data(folder, "cpu", rows, rows), checkpoint=done, final=True)
    return train(replace(task, incumbent=weights(1), metric=metric, trains_on_validation=trains_on_validation))[1]


@settings(max_examples=50)
@given(rows=answers, metric=st.sampled_from(METRICS))
def test_the_network_that_is_better_by_the_metric_is_kept(
    folder: Path, rows: list[tuple[int, int, int]], metric: str
) -> None:
    rivals = Rivals(*zip(*rows, strict=True))
    trained, incumbent = rivals.figure(metric, rivals.trained), rivals.figure(metric, rivals.incumbent)
    assume(abs(trained - incumbent) > 1e-9)
    last = final(folder, rivals, metric)
    assert last.metrics["kept_incumbent"] == (incumbent > trained)
    assert last.metrics[metric] == pytest.approx(max(trained, incumbent))
    assert last.weights is not None
    np.testing.assert_array_equal(last.weights["logits.weight"], weights(incumbent > trained)["logits.weight"])


# Always class 0 is more often right; the other answer finds all three classes.
UNBALANCED: Final = Rivals((0, 0, 0, 0, 0, 0, 1, 2), (0, 0, 1, 1, 2, 2, 1, 2), (0,) * 8)


@pytest.mark.parametrize(("metric", "keeps"), [(METRICS[0], 1.0), (METRICS[1], 0.0), (METRICS[2], 0.0)])
def test_another_metric_may_keep_another_network(folder: Path, metric: str, keeps: float) -> None:
    assert final(folder, UNBALANCED, metric).metrics["kept_incumbent"] == keeps


@settings(max_examples=50)
@given(rows=answers, metric=st.sampled_from(METRICS))
def test_of_rows_that_were_trained_on_the_incumbents_figures_are_reported(
    folder: Path, rows: list[tuple[int, int, int]], metric: str
) -> None:
    rivals = Rivals(*zip(*rows, strict=True))
    last, unseen = (final(folder, rivals, metric, seen) for seen in (True, False))
    for name in METRICS:
        assert last.metrics[name] == pytest.approx(rivals.figure(name, rivals.incumbent))
    assert last.metrics["kept_incumbent"] == unseen.metrics["kept_incumbent"]
    assert last.weights is not None
    assert unseen.weights is not None
    np.testing.assert_array_equal(last.weights["logits.weight"], unseen.weights["logits.weight"])


def test_an_untrained_network_does_not_take_the_incumbents_place(folder: Path) -> None:
    x = torch.tensor([[0, 0, 0], [255, 0, 0]], dtype=torch.uint8).reshape(1, *IMAGE.shape)
    rows = Split(x, torch.zeros(1, dtype=torch.int64))
    surest = {"logits.weight": 100.0 * weights(1)["logits.weight"]}
    task = Task(GRAPH, Recipe(epochs=3.0), 0, Data(folder, "cpu", rows, rows), incumbent=surest, final=True)
    _, last = train(task, order=lambda: Order.FINISH)
    assert last.outcome is Outcome.STOPPED
    assert last.metrics["kept_incumbent"] == 1.0
