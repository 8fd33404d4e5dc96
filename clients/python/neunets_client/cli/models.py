"""Trained networks: `models` of a run, `lineage` of its best, `compare`, `pick`, `export`, `predict` with the file."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence, Set
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from neunets.errors import InvalidRequest
from neunets.sentences import printable
from neunets.service.v1 import service_pb2
from neunets_client.cli.codes import FAILED, REFUSED
from neunets_client.cli.options import Home, Json, Server, check_folder, model_name, run_name
from neunets_client.cli.show import show
from neunets_client.client import Client
from neunets_client.connection import Connection, default_home
from neunets_client.family import Relative, relatives
from neunets_client.predict import predict as run_model
from neunets_client.states import run_state, trial_state
from neunets_client.trials import LISTED, finite

__all__ = ["compare", "export", "lineage", "models", "pick", "predict"]


class Format(Enum):
    """Beside float32; by the names of the service."""

    INT8 = "int8"
    FLOAT16 = "float16"


def models(run: str, server: Server = None, home: Home = None, as_json: Json = False) -> None:
    """List the networks that a run has trained."""
    table = Table("trial", "candidate", "parameters", "state", *(figure.name for figure in LISTED), "final")
    listed = []
    with Connection(server, home or default_home()) as connection:
        for model in Client(connection).models(run_name(run)):
            metrics = dict(model.result.metrics)
            state = trial_state(model)
            values = [figure.text(metrics) for figure in LISTED]
            final = "yes" if model.final else ""
            table.add_row(model.trial, model.candidate, f"{model.params:,}", state, *values, final)
            row = {"trial": model.trial, "candidate": model.candidate, "params": model.params, "state": state}
            row |= {"validation": finite(metrics, "valid_accuracy"), "macro_f1": finite(metrics, "valid_macro_f1")}
            listed.append(row | {"images_per_s": finite(metrics, "images_per_s"), "final": model.final})
    show(table, listed, as_json)


def lineage(
    run: str,
    everyone: Annotated[bool, typer.Option("--all", help="All that the run has trained, as a tree.")] = False,
    server: Server = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Tell from which networks a run's best one came, by which changes, and what each of them gained."""
    with Connection(server, home or default_home()) as connection:
        client = Client(connection)
        line = client.lineage(run_name(run))
        shown = relatives(client.models(run_name(run))) if everyone else line
    ways = {relative.trial for relative in line}
    if as_json:
        print(json.dumps([asdict(relative) | {"in_line": relative.trial in ways} for relative in shown]))
    elif everyone:
        Console().print(family_tree(run, shown, ways), soft_wrap=True)
    else:
        for relative in line:
            print(printable(relative.line()))


def family_tree(title: str, family: Sequence[Relative], bold: Set[str]) -> Tree:
    """Parents stand before their children in `family`. `bold`: trials."""
    tree = Tree(title)
    branches: dict[str, Tree] = {}
    for relative in family:
        style = "bold" if relative.trial in bold else ""
        above = branches.get(relative.parent, tree)
        branches[relative.trial] = above.add(Text(printable(relative.line()), style))  # no markup: names are a plugin's
    return tree


def compare(
    models: Annotated[list[str], typer.Argument(help="RUN/TRIAL, two to sixteen.")],
    server: Server = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Put networks side by side: their figures, and in what they differ from the first."""
    with Connection(server, home or default_home()) as connection:
        found = Client(connection).compare([model_name(model) for model in models])
    table = Table("figure", *(model.trial for model in found.models))
    for row in found.figures:
        table.add_row(
            Text(printable(row.name)), *("" if math.isnan(value) else f"{value:,.6g}" for value in row.values)
        )
    rows = [
        {"figure": row.name, "values": [None if math.isnan(value) else value for value in row.values]}
        for row in found.figures
    ]
    show(table, rows, as_json)
    for model, diff in zip(found.models[1:], [] if as_json else found.diffs, strict=False):
        print(printable(f"{model.trial}: {difference(diff)}"))


def difference(diff: service_pb2.GraphDiff) -> str:
    """In one line."""
    parts = [f"+{name}" for name in diff.added] + [f"-{name}" for name in diff.removed]
    parts += [f"{each.node} {each.field}: {each.before or 'none'} → {each.after or 'none'}" for each in diff.changed]
    return ", ".join(parts) or "the same network"


def pick(
    model: Annotated[str, typer.Argument(help="RUN/TRIAL, of a run that has ended.")],
    server: Server = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make another network the run's model: it is measured on the test set and exported."""
    with Connection(server, home or default_home()) as connection:
        picked = Client(connection).pick(model_name(model))
    figures = dict(picked.figures)
    row = {"model": picked.name, "params": picked.params, "test_accuracy": finite(figures, "test_accuracy")}
    table = Table("model", "parameters", "test accuracy")
    table.add_row(picked.name, f"{picked.params:,}", f"{figures.get('test_accuracy', math.nan):.4f}")
    show(table, [row], as_json)


def export(
    run: str,
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    formats: Annotated[list[Format] | None, typer.Option("--format", help="Also in these numbers; repeatable.")] = None,
    any_size: Annotated[
        bool, typer.Option("--any-size", help="Also a file that takes images of any size, and resizes them itself.")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Also a file of floats alone: for OpenCV, and converters to TFLite.")
    ] = False,
    max_drop: Annotated[
        float | None,
        typer.Option(min=0.0, max=100.0, help="Points of accuracy a format may cost; by default 0.5."),
    ] = None,
    server: Server = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write a finished run's ONNX model, weights and card; exit code 1 where a format is worse than allowed."""
    check_folder(out)
    with Connection(server, home or default_home()) as connection:
        client = Client(connection)
        found = client.get(run_name(run))
        if not found.model:
            raise InvalidRequest("run", f"{run} is {run_state(found)} and has no exported model")
        names = [wish.name for wish in formats or ()] + ["ANY_SIZE"] * any_size + ["PLAIN"] * plain
        numbers = [service_pb2.ExportModelRequest.Format.Value(f"FORMAT_{name}") for name in names]
        variants = client.export(found.model, numbers, None if max_drop is None else max_drop / 100.0)
        model = client.model(found.model)
        for path in client.download(found.model, out):
            print(path, file=sys.stderr if as_json else sys.stdout)
    _compare(model, variants, as_json)
    for variant in variants:
        if variant.refused:
            print(printable(variant.refused), file=sys.stderr)
    if any(variant.refused for variant in variants):
        raise typer.Exit(FAILED)


def _compare(model: service_pb2.Model, variants: Sequence[service_pb2.Variant], as_json: bool) -> None:
    """The formats side by side."""
    accuracy = variants[0].float32_accuracy if variants else model.figures["test_accuracy"]
    size, latency_ms = int(model.figures["model_bytes"]), model.figures["latency_ms"]
    base = {"format": "float32", "file": "model.onnx", "accuracy": accuracy, "bytes": size}
    rows: list[dict[str, object]] = [{**base, "latency_ms": latency_ms, "refused": ""}]
    for variant in variants:
        name = (
            service_pb2.ExportModelRequest.Format.Name(variant.format).removeprefix("FORMAT_").lower().replace("_", "-")
        )
        row = {"format": name, "file": variant.file, "accuracy": variant.accuracy, "bytes": variant.bytes}
        rows.append({**row, "latency_ms": variant.latency_ms, "refused": variant.refused})
    table = Table("format", "test accuracy", "bytes", "latency", "file")
    for row in rows:
        figures = f"{row['accuracy']:.4f}", f"{row['bytes']:,}", f"{row['latency_ms']:.3f} ms"
        table.add_row(str(row["format"]), *figures, str(row["file"]) or "refused")
    show(table, rows, as_json)


def predict(model: Path, files: list[Path], as_json: Json = False) -> None:
    """Classify FILES (images, or .npy arrays) with an exported model; those that cannot be read are told on stderr."""
    refused: list[InvalidRequest] = []
    predictions = list(run_model(model, files, refused.append))
    for error in refused:
        print(printable(error.message), file=sys.stderr)
    if as_json:
        rows = [{"file": str(p.file), "label": p.label, "probability": p.probability} for p in predictions]
        print(json.dumps(rows))
    else:
        for prediction in predictions:
            print(f"{printable(str(prediction.file))}\t{printable(prediction.label)}\t{prediction.probability:.4f}")
    if refused:
        raise typer.Exit(FAILED if predictions else REFUSED)
