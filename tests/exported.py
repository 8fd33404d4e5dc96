"""A home of an engine with one exported model, which no other number format can stand in for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fakes import IMAGE
from neunets.graph import Graph, Node
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.artifacts import Artifacts
from neunets_engine.export import export_onnx
from neunets_engine.store import Store

__all__ = ["CARDS", "CLASSES", "RUN", "TRIAL", "keep_exported"]

RUN, TRIAL = "r1", "t000001"
CLASSES = ("dark", "bright")
CARDS = {"card.md": b"# Model card\n", "card.json": b"{}\n"}


async def keep_exported(home: Path) -> Store:
    """Write data, files and records; returns the store, open."""
    artifacts, store = Artifacts(str(home / "artifacts")), Store(home / "store")
    _write_arrays(home / "datasets" / "d")
    await store.put_dataset(service_pb2.Dataset(name="datasets/d", sha256="d", classes=CLASSES))
    await store.create_run(service_pb2.Run(name=f"runs/{RUN}", spec=service_pb2.RunSpec(dataset="datasets/d")), "")
    record = store_pb2.TrialRecord(run=RUN, trial=TRIAL, state=service_pb2.TRIAL_STATE_ENDED)
    await store.record_proposals(RUN, synthesizer_pb2.Proposed(), [(record, "hash")], [])
    model = _model()
    contents = {"model.onnx": model, **CARDS}
    listed = [service_pb2.Artifact(file=name, ref=artifacts.put(data, "")) for name, data in contents.items()]
    await store.keep_model(RUN, TRIAL, listed, {"model_bytes": float(len(model)), "latency_ms": 0.1})
    return store


def _model() -> bytes:
    """Bright or dark, by logits too large for half precision and too alike for 8 bits: there all is called dark."""
    nodes = (Node("flat", "flatten", ("image",)), Node("logits", "linear", ("flat",), {"units": 2}))
    weight = np.stack([np.zeros(64), np.full(64, 1e5)]).astype("f4")
    weights = {"logits.weight": weight, "logits.bias": np.array([1e10, 1e10 - 64 * 0.5e5], "f4")}
    return export_onnx(Graph(IMAGE, nodes, "logits"), weights, CLASSES)


def _write_arrays(folder: Path) -> None:
    folder.mkdir(parents=True)
    y = np.arange(200) % 2
    x = np.where(y, 255, 0).astype(np.uint8)[:, np.newaxis, np.newaxis, np.newaxis] * np.ones((1, 8, 8, 1), np.uint8)
    for name, array in {"x_train": x, "y_train": y, "x_test": x, "y_test": y, "split": y < 0}.items():
        np.save(folder / f"{name}.npy", array)
