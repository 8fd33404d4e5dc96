"""The export keeps a model with everything that was measured of it, and with an older worker's results as well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

from fakes import IMAGE, network
from neunets.lineage import lineage_to_proto
from neunets.morphisms import Widen
from neunets.reference import initialise, run
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_to_proto
from neunets_engine.artifacts import Artifacts
from neunets_engine.finalize import export_final
from neunets_engine.store import Store, Wanted

GRAPH = network(IMAGE, 3, 8)
LABELS = np.array([0, 1, 1, 2], np.int64)
# Two of four are told rightly; class 2 is taken for class 0.
PROBABILITIES = np.eye(3, dtype=np.float32)[[0, 1, 0, 0]]
FILES = {"model.onnx", "weights.safetensors", "card.md", "card.json", "architecture.svg"}
PROPOSED = synthesizer_pb2.Proposed(candidates=[synthesizer_pb2.ProposedCandidate(id="c1")])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(str(tmp_path / "artifacts"))


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = exponents / exponents.sum(axis=1, keepdims=True)
    return probabilities


async def finished(
    store: Store,
    artifacts: Artifacts,
    predictions: NDArray[np.float32] | None,
    state: service_pb2.TrialState.ValueType = service_pb2.TRIAL_STATE_ENDED,
) -> None:
    """A run r1 whose trial t1 has a result."""
    rng = np.random.default_rng(0)
    weights = initialise(GRAPH, rng)
    x = rng.integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    kept = {"weights": save(weights), "probe": save({"x": x, "probabilities": softmax(run(GRAPH, weights, x))})}
    if predictions is not None:
        kept["predictions"] = save({"probabilities": predictions, "labels": LABELS})
    trial = store_pb2.TrialRecord(run="r1", trial="t1", candidate="c1", graph=graph_to_proto(GRAPH), state=state)
    trial.result.metrics["test_accuracy"] = 0.5
    for name, data in kept.items():
        trial.result.artifacts[name].CopyFrom(artifacts.put(data, "application/octet-stream"))
    await store.put_dataset(service_pb2.Dataset(name="datasets/d", classes=["a", "b", "c"], test_rows=4))
    spec = service_pb2.RunSpec(dataset="datasets/d", trials=1)
    await store.create_run(service_pb2.Run(name="runs/r1", spec=spec), "")
    await store.record_proposals("r1", PROPOSED, [(trial, "hash")], [])


async def exported(
    store: Store, artifacts: Artifacts, predictions: NDArray[np.float32] | None
) -> tuple[dict[str, bytes], dict[str, float]]:
    await finished(store, artifacts, predictions)
    await export_final("r1", "t1", 60.0, store, artifacts)
    trial = store.trial("r1", "t1")
    files = {artifact.file: artifacts.get(artifact.ref.sha256) for artifact in trial.artifacts}
    return files, dict(trial.figures)


async def test_the_test_sets_predictions_are_measured(store: Store, artifacts: Artifacts) -> None:
    files, figures = await exported(store, artifacts, PROBABILITIES)
    assert files.keys() == FILES
    assert figures["test_balanced_accuracy"] == pytest.approx(0.5)
    assert figures["test_ece"] == pytest.approx(0.5)
    card = json.loads(files["card.json"], parse_constant=pytest.fail)
    assert card["measures"]["confusion"] == [[1, 0, 0], [1, 1, 0], [1, 0, 0]]
    assert card["test_macro_f1"] == figures["test_macro_f1"]


async def test_the_card_tells_how_the_network_was_found(store: Store, artifacts: Artifacts) -> None:
    await finished(store, artifacts, None)
    child = store.trial("r1", "t1")
    child.trial, child.candidate, child.parent = "t2", "c2", "t1"
    child.lineage.extend(lineage_to_proto([Widen("hidden", 12)]))
    child.result.metrics["valid_accuracy"] = 0.75
    final = store.trial("r1", "t1")
    final.trial, final.candidate, final.final_of = "t3", "c2", "t2"
    proposed = synthesizer_pb2.Proposed(candidates=[synthesizer_pb2.ProposedCandidate(id="c2")])
    await store.record_proposals("r1", proposed, [(child, "another hash"), (final, "a third")], [])
    await export_final("r1", "t3", 60.0, store, artifacts)
    refs = {artifact.file: artifact.ref for artifact in store.trial("r1", "t3").artifacts}
    assert json.loads(artifacts.get(refs["card.json"].sha256))["lineage"] == [
        {"trial": "t1", "changes": [], "params": 0, "valid_accuracy": None},
        {"trial": "t2", "changes": ["widen hidden to 12"], "params": 0, "valid_accuracy": 0.75},
    ]
    assert b"| t2 | widen hidden to 12 |" in artifacts.get(refs["card.md"].sha256)


@pytest.mark.parametrize("predictions", [None, np.full((4, 3), np.nan, np.float32)])
async def test_a_model_without_measurable_predictions_is_kept(
    store: Store, artifacts: Artifacts, predictions: NDArray[np.float32] | None
) -> None:
    files, figures = await exported(store, artifacts, predictions)
    assert files.keys() == FILES
    assert "test_ece" not in figures
    card = json.loads(files["card.json"], parse_constant=pytest.fail)
    assert (card["measures"], card["test_accuracy"]) == (None, 0.5)


async def test_what_a_trial_has_reported_becomes_a_picture(store: Store, artifacts: Artifacts) -> None:
    await finished(store, artifacts, None, state=service_pb2.TRIAL_STATE_WAITING)
    attempt = (await store.lease("r1", "w", "cpu", [Wanted("t1", synthesizer_pb2.Recipe())]))[0].attempt
    measured = synthesizer_pb2.Measured(trial="t1", epoch=1.0, metrics={"train_loss": 0.5})
    assert await store.report("r1", attempt, 1, measured, store_pb2.TrialRecord())
    await export_final("r1", "t1", 60.0, store, artifacts)
    files = {artifact.file: artifact.ref for artifact in store.trial("r1", "t1").artifacts}
    assert files.keys() == FILES | {"curve.svg"}
    assert files["curve.svg"].media_type == "image/svg+xml"
    assert b"![curve](curve.svg)" in artifacts.get(files["card.md"].sha256)
