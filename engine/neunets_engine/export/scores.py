"""Measures as Markdown: class by class, who is taken for whom, and how far the probabilities can be trusted."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from neunets.sentences import printable
from neunets_engine.export.measures import Calibration, Measures
from neunets_engine.export.svg import shorten

__all__ = ["calibration_table", "cell", "class_table", "confusion_table", "pair_table", "percent", "table"]

MOST_CLASSES: Final = 50  # in a table; of more, the worst ones
MOST_COLUMNS: Final = 20  # of a confusion matrix that can be read
MOST_PAIRS: Final = 20
LONGEST_NAME: Final = 24


def class_table(measures: Measures, names: Sequence[str]) -> str:
    order = list(range(len(names)))
    note = ""
    if len(names) > MOST_CLASSES:
        order = sorted(order, key=lambda number: _rank(measures.classes[number].f1))[:MOST_CLASSES]
        note = f"\n\nThe {MOST_CLASSES} of {len(names):,} classes with the lowest F1; `card.json` has all."
    rows = []
    for number in order:
        score = measures.classes[number]
        figures = map(percent, (score.precision, score.recall, score.f1))
        rows.append([_short(names[number]), *figures, f"{score.support:,}"])
    return table(["class", "precision", "recall", "F1", "test rows"], rows) + note


def confusion_table(measures: Measures, names: Sequence[str]) -> str:
    """The whole matrix of a few classes, else the pairs that are confused most."""
    if len(names) <= MOST_COLUMNS:
        rows = [
            [f"**{_short(name)}**", *(str(count) if count else "·" for count in row)]
            for name, row in zip(names, measures.confusion.tolist(), strict=True)
        ]
        return "Rows: the true class. Columns: the predicted one.\n\n" + table(["", *map(_short, names)], rows)
    confusion = measures.confusion.copy()
    np.fill_diagonal(confusion, 0)
    pairs = [divmod(int(place), len(names)) for place in np.argsort(-confusion, axis=None, kind="stable")[:MOST_PAIRS]]
    rows = [
        [_short(names[true]), _short(names[predicted]), str(confusion[true, predicted])]
        for true, predicted in pairs
        if confusion[true, predicted]
    ]
    header = f"The pairs of {len(names):,} classes that are confused most; `card.json` has the whole matrix.\n\n"
    return header + table(["true class", "predicted", "test rows"], rows) if rows else "No row is confused."


def calibration_table(calibration: Calibration) -> str:
    return pair_table(
        {
            "expected calibration error": f"{percent(calibration.ece)} ({len(calibration.bins)} bins of equal width)",
            "mean confidence": f"{percent(calibration.mean_confidence)}, of the predicted classes",
            "Brier score": f"{calibration.brier:.4f} (0 is best, 2 is worst)",
        }
    )


def pair_table(rows: Mapping[str, str]) -> str:
    """Without a header."""
    return table(["", ""], [[key, value] for key, value in rows.items()])


def percent(value: float) -> str:
    return f"{value:.2%}" if math.isfinite(value) else "not measured"


def cell(text: str) -> str:
    """A bar would end the cell, and so would a line break; a name is no HTML, which Markdown would let through."""
    words = printable(" ".join(text.split())).replace("|", "\\|")
    is_code = words[:1] == words[-1:] == "`" and "`" not in words[1:-1]
    return words if is_code else html.escape(words, quote=False)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)


def _short(name: str) -> str:
    return shorten(name, LONGEST_NAME)


def _rank(f1: float) -> float:
    """What cannot be said comes last."""
    return f1 if math.isfinite(f1) else math.inf
