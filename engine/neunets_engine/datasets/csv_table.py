"""`.csv` and `.tsv`: a row for each image, its path relative to the file, its label, and perhaps its split."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from neunets_engine.datasets.columns import choose_columns
from neunets_engine.datasets.foreign import check_columns
from neunets_engine.datasets.opening import open_file, text_lines
from neunets_engine.datasets.source import Array, refusal
from neunets_engine.datasets.tables import Table

__all__ = ["CSV_SUFFIXES", "open_csv"]

CSV_SUFFIXES: Final = frozenset({".csv", ".tsv"})


def open_csv(path: Path) -> Table:
    """Raises: InvalidRequest, which names the line."""
    try:
        with io.TextIOWrapper(open_file(path), _encoding(path), newline="") as stream:
            delimiter = _delimiter(path, next(text_lines(path, stream), ""))
            stream.seek(0)
            return _table(path, csv.reader(text_lines(path, stream), delimiter=delimiter))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise refusal(path, f"it cannot be read ({error})", "save it as CSV in UTF-8") from error


def _encoding(path: Path) -> str:
    with open_file(path) as stream:
        return "utf-16" if stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _delimiter(path: Path, head: str) -> str:
    if not head.strip():
        raise refusal(path, "it is empty", "give it a line of column names, and a row for each image")
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(",;\t", key=head.count)  # a comma where there is none


def _table(path: Path, lines: Iterator[list[str]]) -> Table:
    names = next(lines)
    check_columns(path, names)
    columns = choose_columns(path, names)
    image, label = names.index(columns.image), names.index(columns.label)
    split = None if columns.split is None else names.index(columns.split)
    files: list[str] = []
    labels: list[str] = []
    splits: list[str] = []
    numbers: list[int] = []
    for number, line in enumerate(lines, start=2):
        if not line:
            continue
        if len(line) != len(names):
            text = f"line {number} has {len(line)} values, the first line {len(names)}"
            raise refusal(path, text, "give each line one value a column")
        if not line[image].strip():
            raise refusal(path, f"line {number} has no {columns.image}", "give it one, or remove the line")
        files.append(line[image].strip())
        labels.append(line[label])
        numbers.append(number)
        if split is not None:
            splits.append(line[split])

    _check_one_label(path, files, labels)

    def name(row: int) -> str:
        return os.path.join(path.parent, files[row])

    def images(rows: Array, size: int) -> Iterator[Sequence[str]]:
        return ([name(int(row)) for row in rows[begin : begin + size]] for begin in range(0, len(rows), size))

    return Table(
        str(path),
        labels,
        None if split is None else splits,
        images,
        lambda row: f"{name(row)} (line {numbers[row]} of {path.name})",
        lambda row: f"line {numbers[row]} of {path}",
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
