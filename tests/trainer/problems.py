"""Small problems for the trainer, and a clock that moves on with its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from neunets.graph import DataType, Graph, Input, Node
from neunets_trainer.checkpoint import Checkpoint, decode_checkpoint, encode_checkpoint
from neunets_trainer.task import Ended, Order, Progress, Task, Weights
from neunets_trainer.training import run

__all__ = [
    "CLASSES",
    "TEST_ROWS",
    "Clock",
    "assert_same_weights",
    "interrupted",
    "network",
    "plain_network",
    "train",
    "write_digits",
    "write_images",
    "write_sequences",
]

CLASSES, ROWS, TEST_ROWS, SIZE = 4, 120, 40, 8
IMAGE = Input("image", (SIZE, SIZE, 1), DataType.UINT8, (80.0,), (70.0,))


@dataclass
class Clock:
    """Each step takes `step_s`, each look at the clock `look_s`."""

    step_s: float = 0.0
    look_s: float = 0.0
    now: float = 0.0
    begins: bool = False  # a step, after the next look

    def order(self) -> Order:
        self.begins = True
        return Order.CONTINUE

    def __call__(self) -> float:
        seen = self.now
        self.now += self.look_s + (self.step_s if self.begins else 0.0)
        self.begins = False
        return seen


def train(
    task: Task, clock: Clock | None = None, order: Callable[[], Order] | None = None
) -> tuple[list[Progress], Ended]:
    """To the end."""
    clock = clock or Clock()
    *progress, last = run(task, order or clock.order, clock)
    assert isinstance(last, Ended)
    return [event for event in progress if isinstance(event, Progress)], last


def interrupted(task: Task, after: int, step_s: float) -> tuple[Checkpoint | None, Ended | None]:
    """The last checkpoint of a training that is killed `after` so many steps of this attempt, or its end."""
    clock, kept = Clock(step_s), task.checkpoint
    first = kept.step if kept is not None else 0
    for event in run(task, clock.order, clock):
        if isinstance(event, Ended):
            return kept, event
        assert isinstance(event, Progress)
        if event.checkpoint is not None:
            kept = decode_checkpoint(encode_checkpoint(event.checkpoint))
        if event.step - first >= after:
            break
    return kept, None


def assert_same_weights(one: Weights | None, other: Weights | None, atol: float = 0.0) -> None:
    assert one is not None
    assert other is not None
    assert one.keys() == other.keys()
    for key, value in one.items():
        np.testing.assert_allclose(value, other[key], rtol=0.0, atol=atol, err_msg=key)


def network() -> Graph:
    """With all that has a state or draws at random."""
    nodes = (
        Node("conv", "conv", ("image",), {"channels": 6, "kernel": 3}),
        Node("norm", "batch_norm", ("conv",)),
        Node("relu", "activation", ("norm",), {"function": "relu"}),
        Node("pool", "max_pool", ("relu",), {"kernel": 2}),
        Node("drop", "dropout", ("pool",), {"rate": 0.2}),
        Node("flat", "flatten", ("drop",)),
        Node("logits", "linear", ("flat",), {"units": CLASSES}),
    )
    return Graph(IMAGE, nodes, "logits")


def plain_network() -> Graph:
    """Each example for itself, nothing at random."""
    nodes = (
        Node("conv", "conv", ("image",), {"channels": 4, "kernel": 3, "stride": 2, "bias": True}),
        Node("relu", "activation", ("conv",), {"function": "relu"}),
        Node("flat", "flatten", ("relu",)),
        Node("logits", "linear", ("flat",), {"units": CLASSES}),
    )
    return Graph(IMAGE, nodes, "logits")


def write_images(folder: Path) -> Path:
    """Each class is a bright band at its own height, so that a mirrored image keeps its class."""
    rng = np.random.default_rng(0)
    return _write(folder, *_bands(ROWS, rng), *_bands(TEST_ROWS, rng))


def write_digits(folder: Path) -> Path:
    """scikit-learn's, 8 x 8 with values of 0 to 16."""
    x, y = load_digits(return_X_y=True)
    images = x.reshape(-1, SIZE, SIZE, 1).astype(np.uint8)
    return _write(folder, images[TEST_ROWS:], y[TEST_ROWS:], images[:TEST_ROWS], y[:TEST_ROWS])


def write_sequences(folder: Path) -> Path:
    """(N, 20, 2); each of three classes is a wave of its own length at a random place."""
    rng = np.random.default_rng(0)
    y = np.arange(ROWS) % 3
    phase = rng.uniform(0.0, 20.0, (ROWS, 1))
    wave = np.sin((np.arange(20) + phase) * (0.3 + y[:, None]))
    x = np.stack([wave, rng.normal(size=wave.shape)], axis=2).astype(np.float32)
    return _write(folder, x, y, x[:TEST_ROWS], y[:TEST_ROWS])


def _bands(rows: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    y = rng.permutation(np.arange(rows) % CLASSES)
    x = rng.integers(0, 100, (rows, SIZE, SIZE, 1), dtype=np.uint8)
    height = SIZE // CLASSES
    for row, label in enumerate(y):
        x[row, label * height : (label + 1) * height] += 150
    return x, y


def _write(
    folder: Path, x: NDArray[Any], y: NDArray[np.int64], x_test: NDArray[Any], y_test: NDArray[np.int64]
) -> Path:
    is_valid = np.arange(len(y)) % 5 == 0
    arrays = {"x_train": x, "y_train": y, "split": is_valid, "x_test": x_test, "y_test": y_test}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder
