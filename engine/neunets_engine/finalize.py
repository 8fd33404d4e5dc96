"""The last step of a run: the trained network becomes a checked ONNX file with its card."""

from __future__ import annotations

import asyncio
import platform
from importlib.metadata import version
from typing import Final

from google.protobuf import json_format
from safetensors.numpy import load

from neunets.cost import cost
from neunets.errors import NeunetsError
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.wire import graph_from_proto
from neunets_engine.artifacts import Artifacts
from neunets_engine.export import ModelCard, check, export_onnx, latency_ms
from neunets_engine.store import Store

__all__ = ["export_final"]

ONNX_TYPE: Final = "application/onnx"
PACKAGES: Final = ("neunets", "onnx", "onnxruntime", "numpy")


async def export_final(run_id: str, trial: str, wall_s: float, store: Store, artifacts: Artifacts) -> None:
    """Export the final trial of a run, check the file against the trainer's outputs, and keep it.

    Raises: ExportMismatch where the file does not compute what was trained; NeunetsError without weights or probe.
    """
    record = store.trial(run_id, trial)
    run = store.run(run_id).run
    files, figures = await asyncio.to_thread(_export, run, record, store.dataset(run.spec.dataset), wall_s, artifacts)
    await store.keep_model(run_id, trial, files, figures)


def _export(
    run: service_pb2.Run,
    trial: store_pb2.TrialRecord,
    dataset: service_pb2.Dataset,
    wall_s: float,
    artifacts: Artifacts,
) -> tuple[list[service_pb2.Artifact], dict[str, float]]:
    refs = trial.result.artifacts
    if "weights" not in refs or "probe" not in refs:
        raise NeunetsError(f"{trial.trial} came back without weights and probe: its worker is of another version")
    graph = graph_from_proto(trial.graph)
    weights = load(artifacts.get(refs["weights"].sha256))
    probe = load(artifacts.get(refs["probe"].sha256))
    model = export_onnx(graph, weights, list(dataset.classes))
    difference = check(model, probe["x"], probe["probabilities"])
    figures = {
        **trial.result.metrics,
        "model_bytes": float(len(model)),
        "latency_ms": latency_ms(model, probe["x"][:1]),
        "max_abs_difference": difference,
    }
    price = cost(graph)
    card = ModelCard(
        run=run.name,
        trial=trial.trial,
        synthesizer=run.spec.synthesizer,
        task=run.task,
        dataset_source=dataset.source,
        dataset_sha256=dataset.sha256,
        train_rows=dataset.train_rows,
        valid_rows=dataset.valid_rows,
        test_rows=dataset.test_rows,
        test_held_out=dataset.test_held_out,
        classes=tuple(dataset.classes),
        input=graph.input,
        params=price.params,
        flops=price.flops,
        valid_accuracy=figures.get("valid_accuracy", float("nan")),
        test_accuracy=figures.get("test_accuracy", float("nan")),
        onnx_bytes=len(model),
        latency_ms=figures["latency_ms"],
        max_abs_difference=difference,
        recipe=json_format.MessageToJson(trial.recipe, indent=None),
        seed=run.spec.seed,
        wall_s=wall_s,
        versions={"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        architecture=tuple(f"{node.name}: {node.op}" for node in graph.nodes),
    )
    contents = {
        "model.onnx": (model, ONNX_TYPE),
        "weights.safetensors": (artifacts.get(refs["weights"].sha256), "application/octet-stream"),
        "card.md": (card.to_markdown().encode(), "text/markdown"),
        "card.json": (card.to_json().encode(), "application/json"),
    }
    files = [
        service_pb2.Artifact(file=name, ref=artifacts.put(data, media_type))
        for name, (data, media_type) in contents.items()
    ]
    return files, figures
