"""The last step of a run: the trained network becomes a checked ONNX file with its card and pictures."""

from __future__ import annotations

import asyncio
import logging
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import numpy as np
from google.protobuf import json_format
from safetensors.numpy import load

from neunets.cost import cost
from neunets.errors import NeunetsError
from neunets.graph import Graph
from neunets.phrases import phrases
from neunets.preprocessing import Preprocessing
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_from_proto
from neunets_engine.artifacts import Artifacts
from neunets_engine.datasets.wire import preprocessing_from_proto
from neunets_engine.export import (
    Ancestor,
    Curve,
    Measures,
    ModelCard,
    check,
    check_resizing,
    draw_architecture,
    draw_curves,
    export_onnx,
    latency_ms,
    measure,
    to_any_size,
)
from neunets_engine.store import Store

__all__ = ["export_final"]

LOG: Final = logging.getLogger(__name__)
ONNX_TYPE: Final = "application/onnx"
SVG_TYPE: Final = "image/svg+xml"
PACKAGES: Final = ("neunets", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True, slots=True)
class _Trained:
    """What the final training has left, with where it comes from."""

    run: service_pb2.Run
    trial: store_pb2.TrialRecord
    dataset: service_pb2.Dataset
    wall_s: float
    curves: tuple[Curve, ...]  # of the final trainings, and of the search's best one
    lineage: tuple[Ancestor, ...]


async def export_final(run_id: str, trial: str, wall_s: float, store: Store, artifacts: Artifacts) -> None:
    """Export the final trial of a run, check the file against the trainer's outputs, and keep it.

    Raises: ExportMismatch where the file does not compute what was trained; NeunetsError without weights or probe.
    """
    record = store.trial(run_id, trial)
    kept = store.run(run_id)
    if trial in kept.final_trials:
        finals = [store.trial(run_id, name) for name in kept.final_trials]
        titles = {final.trial: "trained on" if final.continues else "trained anew" for final in finals}
        titles[record.final_of] = "best of the search"
    else:  # a user has picked it
        titles = {record.final_of or trial: "trained"}
    curves = tuple(_curve(title, store.metrics(run_id, name)) for name, title in titles.items())
    dataset, lineage = store.dataset(kept.run.spec.dataset), _lineage(store, record)
    trained = _Trained(kept.run, record, dataset, wall_s, curves, lineage)
    files, figures = await asyncio.to_thread(_export, trained, artifacts)
    await store.keep_model(run_id, trial, files, figures)


def _export(trained: _Trained, artifacts: Artifacts) -> tuple[list[service_pb2.Artifact], dict[str, float]]:
    trial, classes = trained.trial, list(trained.dataset.classes)
    refs = trial.result.artifacts
    if "weights" not in refs or "probe" not in refs:
        raise NeunetsError(f"{trial.trial} came back without weights and probe: its worker is of another version")
    graph = graph_from_proto(trial.graph)
    weights = artifacts.get(refs["weights"].sha256)
    probe = load(artifacts.get(refs["probe"].sha256))
    preprocessing = _preprocessing(trained.dataset)
    model = export_onnx(graph, load(weights), classes, trial.recipe.test_mirror, preprocessing)
    if trained.dataset.preprocessing.resized:
        model = to_any_size(model)
        check_resizing(model)
    measures = _measures(artifacts.get(refs["predictions"].sha256), classes) if "predictions" in refs else None
    figures = {
        **trial.result.metrics,
        **_test_figures(measures),
        "model_bytes": float(len(model)),
        "max_abs_difference": check(model, probe["x"], probe["probabilities"]),
        "latency_ms": latency_ms(model, probe["x"][:1]),
    }
    pictures = _pictures(graph, trained.curves)
    card = _card(trained, graph, figures, measures, tuple(pictures))
    contents = {
        "model.onnx": (model, ONNX_TYPE),
        "weights.safetensors": (weights, "application/octet-stream"),
        "card.md": (card.to_markdown().encode(), "text/markdown"),
        "card.json": (card.to_json().encode(), "application/json"),
        **{name: (data, SVG_TYPE) for name, data in pictures.items()},
    }
    files = [
        service_pb2.Artifact(file=name, ref=artifacts.put(data, media_type))
        for name, (data, media_type) in contents.items()
    ]
    return files, figures


def _preprocessing(dataset: service_pb2.Dataset) -> Preprocessing | None:
    """None for sequences, and for data that were registered before it was kept."""
    return preprocessing_from_proto(dataset.preprocessing) if dataset.HasField("preprocessing") else None


def _measures(predictions: bytes, classes: Sequence[str]) -> Measures | None:
    """None, with the reason in the log, where they cannot be measured: a model is not lost for its figures."""
    arrays = load(predictions)
    try:
        return measure(arrays["probabilities"], arrays["labels"], len(classes))
    except NeunetsError as error:
        LOG.warning("the test set's predictions were not measured: %s", error)
        return None


def _test_figures(measures: Measures | None) -> dict[str, float]:
    if measures is None:
        return {}
    return {
        "test_balanced_accuracy": measures.balanced_accuracy,
        "test_macro_f1": measures.macro_f1,
        "test_ece": measures.calibration.ece,
        "test_brier": measures.calibration.brier,
    }


def _pictures(graph: Graph, curves: Sequence[Curve]) -> dict[str, bytes]:
    """By file; without those that cannot be drawn: nothing was reported, or the network is too large to be read."""
    drawn = {"curve.svg": draw_curves(curves), "architecture.svg": draw_architecture(graph)}
    return {name: data for name, data in drawn.items() if data is not None}


def _lineage(store: Store, trial: store_pb2.TrialRecord) -> tuple[Ancestor, ...]:
    """From the first of its line to the trial of the search whose network is exported."""
    elder, found = trial.final_of or trial.trial, list[Ancestor]()
    while elder:
        record = store.trial(trial.run, elder)
        axes, accuracy = len(record.graph.input.shape) - 1, record.result.metrics.get("valid_accuracy", math.nan)
        found.append(Ancestor(record.trial, phrases(record.lineage, axes), record.params, accuracy))
        elder = record.parent
    return tuple(reversed(found))


def _curve(title: str, measured: Sequence[synthesizer_pb2.Measured]) -> Curve:
    def series(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([report.metrics.get(name, float("nan")) for report in measured], np.float64)

    epoch = np.array([report.epoch for report in measured], np.float64)
    names = ("train_loss", "valid_loss", "valid_accuracy", "learning_rate")
    return Curve(title, epoch, *map(series, names))


def _card(
    trained: _Trained,
    graph: Graph,
    figures: Mapping[str, float],
    measures: Measures | None,
    pictures: tuple[str, ...],
) -> ModelCard:
    run, trial, dataset, price = trained.run, trained.trial, trained.dataset, cost(graph)
    return ModelCard(
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
        preprocessing=_preprocessing(dataset),
        is_any_size=dataset.preprocessing.resized > 0,
        params=price.params,
        flops=price.flops,
        valid_accuracy=figures.get("valid_accuracy", float("nan")),
        test_accuracy=figures.get("test_accuracy", float("nan")),
        test_balanced_accuracy=figures.get("test_balanced_accuracy", float("nan")),
        test_macro_f1=figures.get("test_macro_f1", float("nan")),
        measures=measures,
        onnx_bytes=int(figures["model_bytes"]),
        latency_ms=figures["latency_ms"],
        max_abs_difference=figures["max_abs_difference"],
        recipe=json_format.MessageToJson(trial.recipe, indent=None),
        lineage=trained.lineage,
        seed=run.spec.seed,
        wall_s=trained.wall_s,
        versions={"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        architecture=tuple(f"{node.name}: {node.op}" for node in graph.nodes),
        pictures=pictures,
    )
