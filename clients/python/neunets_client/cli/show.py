"""What several commands print."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from neunets.sentences import printable
from neunets.service.v1 import service_pb2
from neunets_client.calls import ReadingOptions
from neunets_client.cli.options import Fit, image_size_of
from neunets_client.client import Client
from neunets_client.foresight import Foresight
from neunets_client.reading import ReadingView
from neunets_client.source import source_of

__all__ = ["err", "reading_options", "register", "show"]


def show(table: Table, rows: Sequence[Mapping[str, object]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows))
    else:
        Console().print(table)


def err() -> Console:
    return Console(stderr=True)


def reading_options(
    image_size: str | None, fit: Fit, image_column: str | None, label_column: str | None, skip_unreadable: bool
) -> ReadingOptions:
    """Of a command. Raises: InvalidRequest."""
    return ReadingOptions(
        image_size=image_size_of(image_size),
        image_fit=fit.value,
        image_column=image_column,
        label_column=label_column,
        skip_unreadable=skip_unreadable,
    )


def register(
    client: Client,
    data: str,
    seed: int,
    options: ReadingOptions,
    foresight: Foresight | None = None,
) -> service_pb2.Dataset:
    """Let the engine read DATA of a command, shown while it goes on; then tell what it found.

    `foresight`: of a budget. Raises: InvalidRequest.
    """
    source = source_of(data, "DATA")
    with ReadingView(err()) as view:

        def tell(progress: service_pb2.ReadProgress) -> None:
            view.tell(progress)
            if foresight is not None:
                foresight.tell(progress)

        dataset = client.register(source, seed, tell=tell, **options)
    _tell(dataset)
    return dataset


def _tell(dataset: service_pb2.Dataset) -> None:
    """On stderr: how much data there is, and what is odd about it."""
    held_out = ", held out of the data" if dataset.test_held_out else ""
    print(
        f"{printable(dataset.source)}: {len(dataset.classes)} classes, {dataset.train_rows:,} examples to train, "
        f"{dataset.valid_rows:,} to validate, {dataset.test_rows:,} to test{held_out}",
        file=sys.stderr,
    )
    for warning in dataset.warnings:
        print(f"warning: {printable(warning)}", file=sys.stderr)
