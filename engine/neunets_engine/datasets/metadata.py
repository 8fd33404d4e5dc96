"""Folders of images with a table of their labels, as Hugging Face's `imagefolder` has them, one or one a split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from neunets.images import Encoded
from neunets_engine.datasets.columns import Chosen
from neunets_engine.datasets.csv_table import open_csv, open_json_lines
from neunets_engine.datasets.parts import Part, part_of
from neunets_engine.datasets.source import Array
from neunets_engine.datasets.tables import Table

__all__ = ["metadata_files", "open_metadata"]

NAMES: Final = ("metadata.csv", "metadata.jsonl")


def metadata_files(folder: Path) -> Mapping[str, Path]:
    """By the name of the split, which is empty for a table in `folder` itself; nothing if none is found."""
    if not folder.is_dir():
        return {}
    if (own := _table_in(folder)) is not None:
        return {"": own}
    inner = sorted(entry for entry in folder.iterdir() if part_of(entry.name) is not None)
    found = {entry.name: file for entry in inner if (file := _table_in(entry)) is not None}
    return found if any(part_of(name) is Part.TRAIN for name in found) else {}


def open_metadata(folder: Path, files: Mapping[str, Path], chosen: Chosen) -> Table:
    """Raises: InvalidRequest, which names the line."""
    tables = [(open_csv if file.suffix.lower() == ".csv" else open_json_lines)(file, chosen) for file in files.values()]
    if len(tables) == 1:
        return tables[0]
    begins = np.cumsum([0, *(len(table.labels) for table in tables)])

    def place(row: int) -> tuple[Table, int]:
        number = int(np.searchsorted(begins, row, "right")) - 1
        return tables[number], row - int(begins[number])

    def row_name(row: int) -> str:
        table, own = place(row)
        return table.row_name(own)

    def image_name(row: int) -> str:
        table, own = place(row)
        return table.image_name(own)

    return Table(
        str(folder),
        [label for table in tables for label in table.labels],
        [name for name, table in zip(files, tables, strict=True) for _ in table.labels],
        lambda rows, size: _images(tables, begins, rows, size),
        image_name,
        row_name,
        told=tuple(text for table in tables for text in table.told),
    )


def _table_in(folder: Path) -> Path | None:
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def _images(tables: Sequence[Table], begins: Array, rows: Array, size: int) -> Iterator[Sequence[Encoded]]:
    """Of `rows` (ascending) of all tables; parts may be smaller than `size`."""
    for table, begin, end in zip(tables, begins[:-1], begins[1:], strict=True):
        own = rows[(rows >= begin) & (rows < end)] - begin
        if len(own):
            yield from table.images(own, size)
