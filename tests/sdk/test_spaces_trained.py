"""Networks of all spaces are built, trained and exported, and the exported file computes what was trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
import torch  # noqa: TID251  # to train on one thread

from neunets.draws import generator
from neunets.graph import DataType, Input
from neunets.spaces import BranchedCells, Motifs, PlainChains, SkipChains
from neunets.validate import validate
from neunets_engine.export import check, export_onnx
from neunets_trainer.data import Data, load_data
from neunets_trainer.recipe import Recipe
from neunets_trainer.task import Outcome, Task
from trainer.problems import train

Kind: TypeAlias = type[PlainChains] | type[SkipChains] | type[BranchedCells] | type[Motifs]

KINDS = pytest.mark.parametrize("kind", [PlainChains, SkipChains, BranchedCells, Motifs])
CLASSES = 3
IMAGE = Input("image", (12, 12, 1), DataType.UINT8, (128.0,), (74.0,))
SEQUENCE = Input("sequence", (24, 2), DataType.FLOAT32, (0.0, 0.0), (1.0, 1.0))
MAX_PARAMS = 20_000
# Running statistics are those of the one batch.
RECIPE = Recipe(steps=1, batch_size=12, norm_momentum=1.0)


def load(folder: Path, source: Input) -> Data:
    """Noise: 12 rows to train on, 6 to validate with, 6 to test with."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, rows in (("train", 18), ("test", 6)):
        shape = (rows, *source.shape)
        is_image = source.dtype is DataType.UINT8
        x = rng.integers(0, 256, shape, dtype=np.uint8) if is_image else rng.normal(size=shape).astype(np.float32)
        np.save(folder / f"x_{name}.npy", x)
        np.save(folder / f"y_{name}.npy", np.arange(rows) % CLASSES)
    np.save(folder / "split.npy", np.arange(18) >= 12)
    return load_data(folder, "cpu")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[Input, Data], ...]:
    folder = tmp_path_factory.mktemp("noise")
    return tuple((source, load(folder / source.name, source)) for source in (IMAGE, SEQUENCE))


def assert_works(kind: Kind, source: Input, data: Data, number: int) -> None:
    """Network `number` of the space is valid, takes a training step, and agrees with its exported file."""
    space = kind(source, CLASSES, MAX_PARAMS)
    graph = space.graph(space.parameters.sample(generator(0, number)))
    validate(graph, classes=CLASSES, input=source)
    _, last = train(Task(graph, RECIPE, number, data, final=True))
    assert last.outcome is Outcome.SUCCEEDED, last.error
    assert last.weights is not None
    assert last.probe is not None
    check(export_onnx(graph, last.weights, ("a", "b", "c")), *last.probe)


@KINDS
def test_networks_are_trained_and_exported(kind: Kind, problems: tuple[tuple[Input, Data], ...]) -> None:
    for number in range(10):
        assert_works(kind, *problems[number % len(problems)], number)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@KINDS
def test_hundreds_of_networks_are_trained_and_exported(kind: Kind, problems: tuple[tuple[Input, Data], ...]) -> None:
    for number in range(250):
        assert_works(kind, *problems[number % len(problems)], number)
