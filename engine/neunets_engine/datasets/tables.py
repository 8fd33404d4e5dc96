"""A table of images and labels as a source, whatever file it came from."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from neunets.images import Encoded
from neunets.sentences import LONGEST
from neunets_engine.datasets.labels import case_warnings
from neunets_engine.datasets.multilabel import MULTILABEL, check_single
from neunets_engine.datasets.order import natural
from neunets_engine.datasets.parts import NAMES, Part, part_of
from neunets_engine.datasets.passed_over import is_passed_over
from neunets_engine.datasets.pictures import Pictures, Reading, read_pictures
from neunets_engine.datasets.source import Array, Source, refusal

__all__ = ["ARROW_SUFFIXES", "Table", "arrow_files", "read_table"]

MOST_NAMED: Final = 5  # rows of one sentence
ARROW_SUFFIXES: Final = frozenset({".parquet", ".feather", ".arrow"})


@dataclass(frozen=True, slots=True)
class Table:
    """`images(rows, n)` gives those of `rows` (ascending), at most n at a time."""

    name: str
    labels: Sequence[object]
    splits: Sequence[object] | None
    images: Callable[[Array, int], Iterator[Sequence[Encoded]]]
    image_name: Callable[[int], str]
    row_name: Callable[[int], str]
    classes: Mapping[object, str] = field(default_factory=dict)  # names of labels, where the file has them
    told: tuple[str, ...] = ()  # what was guessed to read it


def read_table(table: Table, reading: Reading) -> Source:
    """Raises: InvalidRequest, which names the row."""
    if not table.labels:
        raise refusal(table.name, "it has no rows", "add some")
    table = _labelled(table)
    values = [_label(table, row, label) for row, label in enumerate(table.labels)]
    if all(isinstance(value, int) or re.fullmatch(r"-?\d+(\.0+)?", value) for value in values):
        values = [value if isinstance(value, int) else value.partition(".")[0] for value in values]
    parts = _parts(table)
    is_train = parts == Part.TRAIN
    _check_classes(table, values)
    names, number = _classes(table, [value for value, chosen in zip(values, is_train, strict=True) if chosen])
    for row in np.flatnonzero(~is_train):
        if values[row] not in number:
            raise refusal(table.row_name(int(row)), f"no training row has the label {values[row]!r}", "remove it")
    y = np.array([number[value] for value in values], np.int64)
    to_fit, to_test = np.flatnonzero(parts != Part.TEST), np.flatnonzero(parts == Part.TEST)
    test = _pictures(table, y, to_test) if len(to_test) else None
    warnings = table.told + _space_warnings(table) + case_warnings(names)
    return read_pictures(names, _pictures(table, y, to_fit, ~is_train[to_fit]), test, warnings, reading)


def _labelled(table: Table) -> Table:
    """The rows with a label, and in words those without. Raises: InvalidRequest if no row has one."""
    is_none = _is_minus_one_none(table)
    missing = [row for row, label in enumerate(table.labels) if _is_missing(label) or (is_none and label == -1)]
    if not missing:
        return table
    if len(missing) == len(table.labels):
        raise refusal(table.row_name(0), "it has no label, nor has any other row", "give each row one")
    rows = np.setdiff1d(np.arange(len(table.labels)), missing)
    told = _unlabelled_told(table, missing, rows)
    return replace(
        table,
        labels=[table.labels[row] for row in rows],
        splits=None if table.splits is None else [table.splits[row] for row in rows],
        images=lambda chosen, size: table.images(rows[chosen], size),
        image_name=lambda row: table.image_name(int(rows[row])),
        row_name=lambda row: table.row_name(int(rows[row])),
        told=(*table.told, *told),
    )


def _unlabelled_told(table: Table, missing: Sequence[int], rows: Array) -> tuple[str, ...]:
    """`rows`: those that have a label. A split in which no row has one is said once."""
    told: tuple[str, ...] = ()
    if table.splits is not None:
        whole = {str(table.splits[row]) for row in missing} - {str(table.splits[row]) for row in rows}
        told = tuple(f"the split {name!r} has no labels and is left aside" for name in sorted(whole))
        missing = [row for row in missing if str(table.splits[row]) not in whole]
    if not missing:
        return told
    some = ", ".join(table.row_name(row) for row in missing[:MOST_NAMED])
    more = ", ..." if len(missing) > MOST_NAMED else ""
    count = "1 row without a label is" if len(missing) == 1 else f"{len(missing):,} rows without a label are"
    return (*told, f"{count} passed over: {some}{more}")


def _is_minus_one_none(table: Table) -> bool:
    """Whether -1 stands for no label, as in the test splits of Hugging Face: no example that trains has it."""
    if table.classes or table.splits is None:
        return bool(table.classes)
    pairs = zip(table.labels, table.splits, strict=True)
    return not any(label == -1 and part_of(str(split)) is Part.TRAIN for label, split in pairs)


def _is_missing(label: object) -> bool:
    if isinstance(label, str):
        return not label.strip() or label.strip().casefold() == "nan"
    return label is None or (isinstance(label, float) and math.isnan(label))


def _label(table: Table, row: int, label: object) -> str | int:
    if isinstance(label, str):
        label = label.strip()
        if (size := len(label.encode())) > LONGEST:
            raise refusal(table.row_name(row), f"its label has {size:,} bytes", f"labels have at most {LONGEST}")
    if isinstance(label, float) and label.is_integer():
        return int(label)
    if isinstance(label, bytes):
        return label.decode(errors="replace").strip()
    if isinstance(label, list | tuple):
        raise refusal(table.row_name(row), f"its label is the list {label!r:.80} (multi-label)", MULTILABEL)
    if not isinstance(label, str | int):
        raise refusal(table.row_name(row), f"its label is {label!r}", "labels are whole numbers or strings")
    return str(label) if isinstance(label, bool) else label


def _check_classes(table: Table, values: Sequence[str | int]) -> None:
    texts = list(map(str, values))
    if all(re.fullmatch(r"-?\d+(\.\d+)?", text) for text in texts) and any("." in text for text in texts):
        row = next(row for row, text in enumerate(texts) if "." in text)
        text = f"its label is {texts[row]}, and all labels are numbers with fractions (regression)"
        raise refusal(table.row_name(row), text, "labels are whole numbers or strings")
    check_single(table.name, set(texts))


def _classes(table: Table, values: list[str | int]) -> tuple[tuple[str, ...], Mapping[str | int, int]]:
    """Names in order, numbers by number even where they are written as text; and the place of each label."""
    found = set(values)
    is_numeric = all(isinstance(value, int) or value.isdecimal() for value in found)
    order = sorted(found, key=int) if is_numeric else sorted(found, key=lambda value: natural(str(value)))
    return tuple(table.classes.get(value, str(value)) for value in order), {v: place for place, v in enumerate(order)}


def _parts(table: Table) -> Array:
    """(N,) of Part."""
    if table.splits is None:
        return np.full(len(table.labels), Part.TRAIN, object)
    parts = np.empty(len(table.labels), object)
    for row, name in enumerate(table.splits):
        parts[row] = part_of(str(name))
        if parts[row] is None:
            raise refusal(table.row_name(row), f"its split is {name!r}", f"the splits are {', '.join(NAMES)}")
    if not (parts == Part.TRAIN).any():
        raise refusal(table.name, "no row is of the split train", "split some off for training, or remove the column")
    return parts


def _pictures(table: Table, y: Array, rows: Array, is_valid: Array | None = None) -> Pictures:
    def name(row: int) -> str:
        return table.image_name(int(rows[row]))

    return Pictures(y[rows], lambda size: table.images(rows, size), name, is_valid)


def _space_warnings(table: Table) -> tuple[str, ...]:
    spaced: list[Any] = [label for label in table.labels if isinstance(label, str) and label != label.strip()]
    if not spaced:
        return ()
    return (f"{len(spaced):,} labels have spaces around them, which are removed, such as {spaced[0]!r}",)


def arrow_files(folder: Path) -> list[Path]:
    """The parts of one table, in order: in the folder, its folder `data`, or its one configuration, or its splits.

    Raises: InvalidRequest if there are several configurations.
    """
    if not folder.is_dir():
        return []
    for place in (folder, folder / "data"):
        if found := _arrow_files(place):
            return found
    below = {inner: found for inner in _inner(folder) if (found := _arrow_files(inner))}
    if len(below) > 1 and not all(part_of(inner.name) for inner in below):
        names = ", ".join(sorted(inner.name for inner in below))
        raise refusal(folder, f"it has several configurations of data: {names}", "give the folder of one of them")
    return [file for inner in sorted(below) for file in below[inner]]


def _arrow_files(folder: Path) -> list[Path]:
    if not os.access(folder, os.R_OK | os.X_OK):
        return []
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in ARROW_SUFFIXES)


def _inner(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.is_dir() and not is_passed_over(entry.name)]
