"""`.csv`, `.tsv`, `.jsonl`: a row for each image, its path relative to the file, its label, and perhaps its split."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final

from neunets_engine.datasets.columns import Chosen, choose_columns, find_columns
from neunets_engine.datasets.foreign import check_columns
from neunets_engine.datasets.found_files import find_files, is_image_name
from neunets_engine.datasets.one_hot import one_hot
from neunets_engine.datasets.opening import open_file, text_lines
from neunets_engine.datasets.pixel_columns import pixel_columns, read_pixels
from neunets_engine.datasets.source import Array, refusal
from neunets_engine.datasets.tables import Table

__all__ = ["CSV_SUFFIXES", "open_csv", "open_json_lines"]

CSV_SUFFIXES: Final = frozenset({".csv", ".tsv"})
BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Sheet:
    """Lines below the names of the columns. `first`: the number of the first of them."""

    path: Path
    names: Sequence[str]
    lines: Iterable[list[str]]
    first: int = 2
    told: tuple[str, ...] = ()

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """With their numbers. Raises: InvalidRequest for one of another length."""
        for number, line in enumerate(self.lines, start=self.first):
            if line and len(line) != len(self.names):
                text = f"line {number} has {len(line)} values, the first line {len(self.names)}"
                raise refusal(self.path, text, "give each line one value a column")
            if line:
                yield number, line


def open_csv(path: Path, chosen: Chosen) -> Table:
    """Raises: InvalidRequest, which names the line."""
    try:
        encoding, told = _encoding(path)
        with io.TextIOWrapper(open_file(path), encoding, newline="") as stream:
            delimiter = _delimiter(path, next(text_lines(path, stream), ""))
            stream.seek(0)
            lines = csv.reader(text_lines(path, stream), delimiter=delimiter)
            names = [name.strip() for name in next(lines)]
            pixels = [] if chosen.image else pixel_columns(names)
            if pixels:
                table = read_pixels(path, names, pixels, lines, chosen)
            else:
                table = _table(_sheet(path, names, lines, chosen), chosen)
            return replace(table, told=told + table.told)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise refusal(path, f"it cannot be read ({error})", "save it as CSV in UTF-8") from error


def open_json_lines(path: Path, chosen: Chosen) -> Table:
    """An object a line. Raises: InvalidRequest, which names the line."""
    try:
        with io.TextIOWrapper(open_file(path), "utf-8-sig") as stream:
            rows = [_object(path, number, line) for number, line in enumerate(text_lines(path, stream), start=1)]
    except (OSError, UnicodeDecodeError) as error:
        raise refusal(path, f"it cannot be read ({error})", "save it as JSON lines in UTF-8") from error
    names = list(dict.fromkeys(name for row in rows for name in row))
    return _table(_Sheet(path, names, [[row.get(name, "") for name in names] for row in rows], 1), chosen)


def _object(path: Path, number: int, line: str) -> dict[str, str]:
    """Values as text; empty where there is none."""
    try:
        found = json.loads(line or "{}")
    except (ValueError, RecursionError) as error:
        raise refusal(path, f"line {number} is no JSON ({error})", "write an object a line") from error
    if not isinstance(found, dict):
        raise refusal(path, f"line {number} is no object", "write an object a line")
    nested = next((name for name, value in found.items() if isinstance(value, dict)), None)
    if nested is not None:
        text = f"line {number} has an object as its {nested!r} (detection or another task)"
        raise refusal(path, text, "only images with one class each are read")
    return {str(name): "" if value is None else str(value) for name, value in found.items()}


def _encoding(path: Path) -> tuple[str, tuple[str, ...]]:
    """And what there is to say of it."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_file(path) as stream:
        block = stream.read(BLOCK)
        if block[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16", ()
        try:
            while block:
                decoder.decode(block)
                block = stream.read(BLOCK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252", ("the table is no UTF-8, and is read as Windows-1252 (Latin-1)",)
    return "utf-8-sig", ()


def _delimiter(path: Path, head: str) -> str:
    if not head.strip():
        raise refusal(path, "it is empty", "give it a line of column names, and a row for each image")
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(",;\t", key=head.count)  # a comma where there is none


def _sheet(path: Path, names: list[str], lines: Iterator[list[str]], chosen: Chosen) -> _Sheet:
    """Without names of columns the first line holds an image and its label."""
    if len(names) != 2 or any(find_columns(names, chosen)):
        return _Sheet(path, names, lines)
    is_image = [is_image_name(path, name) for name in names]
    if sum(is_image) != 1:
        return _Sheet(path, names, lines)
    columns = ["path", "label"] if is_image[0] else ["label", "path"]
    told = f"the first line has no names of columns: they are read as {' and '.join(columns)}"
    return _Sheet(path, columns, chain([names], lines), 1, (told,))


def _table(sheet: _Sheet, chosen: Chosen) -> Table:
    path, names = sheet.path, sheet.names
    check_columns(path, names)
    rows = list(sheet.rows())
    told = sheet.told
    hot = one_hot(path, names, [line for _, line in rows], chosen)
    if hot is not None:
        names, told = [*names, hot.name], (*told, hot.told)
        rows = [(number, [*line, label]) for (number, line), label in zip(rows, hot.labels, strict=True)]
        chosen = replace(chosen, label=hot.name)
    columns = choose_columns(path, names, chosen)
    image, label = names.index(columns.image), names.index(columns.label)
    written = [line[image].strip() for _, line in rows]
    if "" in written:
        text = f"line {rows[written.index('')][0]} has no {columns.image}"
        raise refusal(path, text, "give it one, or remove the line")
    labels = [line[label] for _, line in rows]
    _check_one_label(path, written, labels)
    found = find_files(path, written)

    def images(places: Array, size: int) -> Iterator[Sequence[str]]:
        ranges = range(0, len(places), size)
        return ([found.files[int(row)] for row in places[begin : begin + size]] for begin in ranges)

    return Table(
        str(path),
        labels,
        None if columns.split is None else [line[names.index(columns.split)] for _, line in rows],
        images,
        lambda row: f"{found.files[row]} (line {rows[row][0]} of {path.name})",
        lambda row: f"line {rows[row][0]} of {path}",
        told=(*told, *columns.told, *found.told),
    )


def _check_one_label(path: Path, files: Sequence[str], labels: Sequence[str]) -> None:
    first: dict[str, str] = {}
    pairs = zip(files, labels, strict=True)
    twice = [
        (file, first[file], label) for file, label in pairs if first.setdefault(file, label).strip() != label.strip()
    ]
    if twice:
        some = ", ".join(f"{file} ({one!r} and {other!r})" for file, one, other in twice[:3])
        text = f"{len(twice):,} lines give an image another label than a line before: {some}"
        raise refusal(path, text, "give each image one label")
