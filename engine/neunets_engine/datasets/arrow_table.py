"""Parquet, Feather and Arrow files that hold images: as bytes, as a struct of bytes and path, or as paths."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from neunets.images import Encoded
from neunets_engine.datasets.columns import Chosen, Columns, choose_columns
from neunets_engine.datasets.opening import check_file
from neunets_engine.datasets.parts import Part, part_of
from neunets_engine.datasets.source import Array, refusal
from neunets_engine.datasets.tables import Table

__all__ = ["open_arrow"]

# A column of equal values packs any number of rows into a few bytes.
MOST_ROWS: Final = 20_000_000
ROWS: Final = 256  # of a batch that is read from Parquet
FIX: Final = "write it again, or download it again"


@dataclass(frozen=True, slots=True)
class _Shard:
    path: Path
    schema: pa.Schema
    names: Sequence[str]

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Of the columns `names`, few rows at a time where the format allows it."""
        try:
            if self.path.suffix.lower() == ".parquet":
                with pyarrow.parquet.ParquetFile(self.path) as file:
                    yield from file.iter_batches(ROWS, columns=list(names))
                return
            with pa.memory_map(str(self.path)) as source:
                for batch in _ipc_batches(source):
                    chosen = batch.select(list(names))
                    chosen.validate(full=True)  # these formats are mapped, and what is damaged would be read anywhere
                    yield chosen
        except (OSError, ValueError, pa.ArrowException) as error:
            raise refusal(self.path, f"it cannot be read ({_short(error)})", FIX) from error


def open_arrow(source: Path, files: Sequence[Path], chosen: Chosen) -> Table:
    """One table of all `files`; where they are named after splits (train-0.parquet), these hold without a column, too.

    Raises: InvalidRequest, which names the file.
    """
    shards = [_opened(file) for file in files]
    first = next((shard for shard in shards if part_of(_split(source, shard.path)) is Part.TRAIN), shards[0])
    columns = choose_columns(first.path, first.names, chosen)
    shards, told = _labelled(source, shards, columns.label)
    files = [shard.path for shard in shards]
    for shard in shards[1:]:
        if not {columns.image, columns.label} <= set(shard.names):
            raise refusal(shard.path, f"it has not the columns of {files[0].name}", "give all files the same columns")
    wanted = [name for name in (columns.label, columns.split) if name is not None]
    values = [[batch.to_pydict() for batch in shard.batches(wanted)] for shard in shards]
    labels = [label for shard in values for batch in shard for label in batch[columns.label]]
    begins = np.cumsum([0, *(sum(len(batch[columns.label]) for batch in shard) for shard in values)])

    def row_name(row: int) -> str:
        shard = int(np.searchsorted(begins, row, "right")) - 1
        return f"row {row - int(begins[shard])} of {files[shard]}"

    return Table(
        str(source),
        labels,
        _splits(source, columns, values, files),
        lambda rows, size: _images(shards, columns, rows, size),
        row_name,
        row_name,
        _class_names(shards[0].schema, columns.label),
        columns.told + told,
    )


def _split(source: Path, file: Path) -> str:
    """As the file's name begins, or as its folder within `source` is called."""
    head = re.split(r"[-_.]", file.stem)[0]
    return file.parent.name if part_of(head) is None and file.parent != source else head


def _labelled(source: Path, shards: list[_Shard], label: str) -> tuple[list[_Shard], tuple[str, ...]]:
    """Without those of other splits than train that have no labels, and what there is to say of them."""
    bare = [s for s in shards if label not in s.names and part_of(_split(source, s.path)) in (Part.VALID, Part.TEST)]
    told = tuple(f"{shard.path} has no column {label!r} and is left aside" for shard in bare)
    return [shard for shard in shards if shard not in bare], told


def _opened(file: Path) -> _Shard:
    check_file(file)
    try:
        if file.suffix.lower() == ".parquet":
            with pyarrow.parquet.ParquetFile(file) as opened:
                schema, rows = opened.schema_arrow, opened.metadata.num_rows
            if rows > MOST_ROWS:
                fix = f"at most {MOST_ROWS:,} are read: divide it"
                raise refusal(file, f"it announces {rows:,} rows", fix)
        else:
            with pa.memory_map(str(file)) as source:
                schema = _ipc_reader(source).schema
        return _Shard(file, schema, schema.names)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise refusal(file, f"it cannot be read ({_short(error)})", FIX) from error


def _ipc_reader(source: pa.MemoryMappedFile) -> Any:
    """Of Arrow's file format, which Feather is, or of its stream format."""
    try:
        return pa.ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_stream(source)


def _ipc_batches(source: pa.MemoryMappedFile) -> Iterator[pa.RecordBatch]:
    reader = _ipc_reader(source)
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        return (reader.get_batch(number) for number in range(reader.num_record_batches))
    return iter(reader)


def _splits(
    source: Path, columns: Columns, values: Sequence[Sequence[Mapping[str, list[Any]]]], files: Sequence[Path]
) -> list[object] | None:
    if columns.split is not None:
        return [split for shard in values for batch in shard for split in batch[columns.split]]
    heads = [_split(source, file) for file in files]
    if len(files) == 1 or not all(map(part_of, heads)):
        return None
    rows = [sum(len(batch[columns.label]) for batch in shard) for shard in values]
    return [head for head, count in zip(heads, rows, strict=True) for _ in range(count)]


def _images(shards: Sequence[_Shard], columns: Columns, rows: Array, size: int) -> Iterator[list[Encoded]]:
    """Of `rows` (ascending) of all shards, at most `size` at a time."""
    begin, part = 0, []
    for shard in shards:
        for batch in shard.batches([columns.image]):
            low, high = np.searchsorted(rows, (begin, begin + len(batch)))
            for row in rows[low:high]:
                part.append(_encoded(shard.path, batch.column(0)[int(row) - begin].as_py()))
                if len(part) == size:
                    yield part
                    part = []
            begin += len(batch)
    if part:
        yield part


def _encoded(file: Path, value: object) -> Encoded:
    """From what a cell holds; nothing is an empty file."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str):
        return os.path.join(file.parent, value)
    if value is None or isinstance(value, bytes):
        return value or b""
    raise refusal(file, f"its images are of type {type(value).__name__}", "store encoded files (PNG, JPEG) or paths")


def _class_names(schema: pa.Schema, label: str) -> dict[object, str]:
    """Those that Hugging Face's datasets keep in the file's metadata."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return dict(enumerate(map(str, features[label]["names"])))
    except (KeyError, ValueError, TypeError):
        return {}


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
