"""Variants on a real store: made once, refused by their measured accuracy, and in step with the listed files."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from exported import CARDS, CLASSES, RUN, TRIAL, keep_exported
from neunets.errors import IllegalTransition
from neunets_engine.artifacts import Artifacts
from neunets_engine.export import Format
from neunets_engine.store import Store
from neunets_engine.variants import Variants


class Engine:
    """What the service has: a store with one exported model, its files and its data."""

    def __init__(self, root: Path, store: Store) -> None:
        self.store = store
        self.artifacts = Artifacts(str(root / "artifacts"))
        self.datasets = root / "datasets"
        self.variants = Variants(store, self.artifacts, self.datasets)

    def files(self) -> set[str]:
        return {artifact.file for artifact in self.store.trial(RUN, TRIAL).artifacts}

    def file(self, name: str) -> bytes:
        return next(self.artifacts.get(a.ref.sha256) for a in self.store.trial(RUN, TRIAL).artifacts if a.file == name)

    async def export(self, wanted: Format, max_drop: float) -> str:
        """Why it was refused."""
        (variant,) = await self.variants.export(RUN, TRIAL, [wanted], max_drop)
        return variant.refused


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    store = await keep_exported(tmp_path)
    yield Engine(tmp_path, store)
    store.close()


@pytest.mark.parametrize("wanted", [Format.INT8, Format.FLOAT16])
async def test_a_format_that_costs_accuracy_is_refused_and_leaves_no_file(engine: Engine, wanted: Format) -> None:
    (variant,) = await engine.variants.export(RUN, TRIAL, [wanted], 0.005)
    assert (variant.accuracy, variant.float32_accuracy) == (0.5, 1.0)
    assert "50.00%" in variant.refused
    assert engine.files() == {"model.onnx", *CARDS}
    (kept,) = engine.store.trial(RUN, TRIAL).variants
    assert (kept.file, kept.refused) == ("", variant.refused)
    assert variant.refused in engine.file("card.md").decode()


async def test_a_wider_bound_makes_the_file_and_a_narrower_one_takes_it_away(engine: Engine) -> None:
    assert await engine.export(Format.FLOAT16, 0.005)
    assert not await engine.export(Format.FLOAT16, 0.6)
    assert engine.files() == {"model.onnx", "model.float16.onnx", *CARDS}
    assert await engine.export(Format.FLOAT16, 0.005)
    assert engine.files() == {"model.onnx", *CARDS}


async def test_the_accuracy_is_that_of_the_kept_file(engine: Engine) -> None:
    (variant,) = await engine.variants.export(RUN, TRIAL, [Format.INT8], 1.0)
    session = onnxruntime.InferenceSession(engine.file("model.int8.onnx"), providers=["CPUExecutionProvider"])
    x, y = (np.load(engine.datasets / "d" / f"{name}_test.npy") for name in "xy")
    (labels,) = session.run(["label"], {"image": x})
    assert variant.accuracy == np.mean(labels == np.array(CLASSES)[y])
    assert variant.size == len(engine.file("model.int8.onnx"))


async def test_what_is_kept_is_answered_without_the_data(engine: Engine) -> None:
    asked = [Format.INT8, Format.FLOAT16]
    first = await engine.variants.export(RUN, TRIAL, asked, 1.0)
    (engine.datasets / "d").rename(engine.datasets / "elsewhere")
    assert await engine.variants.export(RUN, TRIAL, asked, 1.0) == first
    assert await engine.variants.export(RUN, TRIAL, asked[::-1], 0.9) == first[::-1]


async def test_data_that_are_gone_are_named(engine: Engine) -> None:
    (engine.datasets / "d").rename(engine.datasets / "elsewhere")
    with pytest.raises(IllegalTransition, match=r"x_train.npy is missing; register .* again"):
        await engine.variants.export(RUN, TRIAL, [Format.INT8], 1.0)


async def test_a_model_that_is_exported_again_has_no_variants(engine: Engine) -> None:
    await engine.variants.export(RUN, TRIAL, [Format.INT8], 1.0)
    listed = [artifact for artifact in engine.store.trial(RUN, TRIAL).artifacts if artifact.file == "model.onnx"]
    await engine.store.keep_model(RUN, TRIAL, listed, {})
    assert not engine.store.trial(RUN, TRIAL).variants


async def test_a_plain_model_comes_with_its_labels_in_json(engine: Engine) -> None:
    assert not await engine.export(Format.PLAIN, 0.005)
    assert not await engine.export(Format.ANY_SIZE, 0.005)
    assert engine.files() == {"model.onnx", "model.plain.onnx", "model.plain.json", "model.any-size.onnx", *CARDS}
    assert json.loads(engine.file("model.plain.json"))["classes"] == list(CLASSES)
