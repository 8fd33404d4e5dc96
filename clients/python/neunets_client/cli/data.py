"""Data before anything is trained on them: `inspect`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neunets.errors import InvalidRequest, UnsupportedProblem
from neunets.sentences import printable
from neunets.service.v1 import service_pb2
from neunets_client.cli.options import (
    Fit,
    FitOption,
    Home,
    ImageColumn,
    ImageSize,
    Json,
    LabelColumn,
    Seed,
    Server,
    SkipUnreadable,
    check_folder,
)
from neunets_client.cli.show import reading_options, register
from neunets_client.client import Client
from neunets_client.connection import Connection, default_home

__all__ = ["inspect"]

# Rows of the table of classes; JSON has all.
MOST_CLASSES: Final = 40
# Meta-features that the table has in words of its own.
SAID: Final = frozenset({"channel_mean", "channel_std", "imbalance"})


def inspect(
    data: Annotated[str, typer.Argument(help="As synthesize takes it.")],
    out: Annotated[Path, typer.Option(help="File for the contact sheet.")] = Path("neunets-inspect.png"),
    images: Annotated[int, typer.Option(min=1, max=32, help="Images of each class on the sheet.")] = 8,
    image_size: ImageSize = None,
    image_fit: FitOption = Fit.STRETCH,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    skip_unreadable: SkipUnreadable = False,
    seed: Seed = 0,
    server: Server = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Tell what is in DATA, and draw training images of every class on a contact sheet."""
    check_folder(out.parent)
    options = reading_options(image_size, image_fit, image_column, label_column, skip_unreadable)
    with Connection(server, home or default_home()) as connection:
        client = Client(connection)
        dataset = register(client, data, seed, options)
        sheet = _write_sheet(client, dataset.name, images, out)
    if as_json:
        print(json.dumps(_facts(dataset, sheet)))
        return
    console = Console()
    console.print(_summary(dataset))
    console.print(_classes(dataset))
    if sheet is not None:
        print(f"contact sheet {sheet}")


def _write_sheet(client: Client, dataset: str, images: int, out: Path) -> Path | None:
    """Its path; None, after a sentence on stderr, where the data cannot be drawn."""
    try:
        png = client.preview(dataset, images)
        out.write_bytes(png)
    except UnsupportedProblem as error:
        print(f"no contact sheet: {printable(error.message)}", file=sys.stderr)
        return None
    except OSError as error:
        raise InvalidRequest("--out", f"{out} cannot be written: {error.strerror}") from error
    return out.resolve()


def _facts(dataset: service_pb2.Dataset, sheet: Path | None) -> Mapping[str, object]:
    return {
        "dataset": dataset.name,
        "source": dataset.source,
        "task": dataset.task,
        "shape": list(dataset.input.shape),
        "preprocessing": _preprocessing(dataset),
        "mean": list(dataset.input.mean),
        "std": list(dataset.input.std),
        "train_rows": dataset.train_rows,
        "valid_rows": dataset.valid_rows,
        "test_rows": dataset.test_rows,
        "test_held_out": dataset.test_held_out,
        "classes": dict(zip(dataset.classes, dataset.class_rows, strict=True)),
        "imbalance": _imbalance(dataset),
        "duplicates": dataset.duplicates,
        "bytes": dataset.bytes,
        "mirror_keeps_class": dataset.mirror_keeps_class if dataset.HasField("mirror_keeps_class") else None,
        "meta_features": dict(sorted(dataset.meta_features.items())),
        "warnings": list(dataset.warnings),
        "sheet": str(sheet) if sheet is not None else None,
    }


def _summary(dataset: service_pb2.Dataset) -> Table:
    extents = " x ".join(map(str, dataset.input.shape))
    rows = {
        "task": dataset.task,
        "an example": f"{extents}, {'height, width' if len(dataset.input.shape) == 3 else 'length'} and channels",
        "resized": _resized(dataset),
        "examples": f"{dataset.train_rows:,} train, {dataset.valid_rows:,} validate, {dataset.test_rows:,} test",
        "mean of a channel": _numbers(dataset.input.mean),
        "standard deviation": _numbers(dataset.input.std),
        "imbalance": f"the largest class has {_imbalance(dataset):.3g} times the examples of the smallest",
        "duplicates": f"{dataset.duplicates:,} test examples are training examples, too",
        "stored": f"{dataset.bytes:,} bytes" if dataset.bytes else "",
        "mirrored": _mirror(dataset),
    }
    table = Table("", "found")
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    for name, number in sorted(dataset.meta_features.items()):
        if name.partition("/")[0] not in SAID:
            table.add_row(name, f"{number:.6g}")
    return table


def _preprocessing(dataset: service_pb2.Dataset) -> Mapping[str, object] | None:
    """The preprocessing of images; None for sequences."""
    done = dataset.preprocessing
    if not dataset.HasField("preprocessing"):
        return None
    size = {"height": done.height, "width": done.width, "channels": done.channels}
    way = {"fit": _fit(dataset), "filter": done.filter, "background": list(done.background)}
    return {**size, **way, "resized": done.resized}


def _resized(dataset: service_pb2.Dataset) -> str:
    done = dataset.preprocessing
    if not done.resized:
        return ""
    return f"{done.resized:,} images to {done.height} x {done.width}, height and width; fit: {_fit(dataset)}"


def _fit(dataset: service_pb2.Dataset) -> str:
    return service_pb2.Preprocessing.Fit.Name(dataset.preprocessing.fit).removeprefix("FIT_").lower()


def _classes(dataset: service_pb2.Dataset) -> Table:
    table = Table("class", "training examples", "share")
    for name, rows in list(zip(dataset.classes, dataset.class_rows, strict=True))[:MOST_CLASSES]:
        table.add_row(Text(printable(name)), f"{rows:,}", f"{rows / dataset.train_rows:.1%}")
    if len(dataset.classes) > MOST_CLASSES:
        table.add_row(f"and {len(dataset.classes) - MOST_CLASSES} more", "", "")
    return table


def _imbalance(dataset: service_pb2.Dataset) -> float:
    """Of the largest class to the smallest, in training examples."""
    return max(dataset.class_rows) / max(1, min(dataset.class_rows))


def _mirror(dataset: service_pb2.Dataset) -> str:
    if not dataset.HasField("mirror_keeps_class"):
        return ""
    return "an image and its mirror are of one class" if dataset.mirror_keeps_class else "a mirrored image is another"


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
