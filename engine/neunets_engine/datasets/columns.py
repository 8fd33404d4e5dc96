"""Which column of a table holds the images, which the labels, which the split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from neunets_engine.datasets.source import refusal

__all__ = ["Columns", "choose_columns"]

# By preference; without regard to case.
IMAGES: Final = (
    "path", "file", "filename", "file_name", "filepath", "file_path", "image", "img", "image_path", "img_path",
    "image_file", "picture",
)  # fmt: skip
LABELS: Final = ("label", "class", "target", "category", "labels", "classes", "class_name", "fine_label", "y")
SPLITS: Final = ("split", "subset", "partition")


@dataclass(frozen=True, slots=True)
class Columns:
    """Names as the table has them."""

    image: str
    label: str
    split: str | None


def choose_columns(table: object, names: Sequence[str]) -> Columns:
    """Raises: InvalidRequest, which lists the columns."""
    by_name = {name.strip().casefold(): name for name in reversed(names)}
    return Columns(
        _choose(table, names, by_name, "images", IMAGES),
        _choose(table, names, by_name, "labels", LABELS),
        next((by_name[name] for name in SPLITS if name in by_name), None),
    )


def _choose(table: object, names: Sequence[str], by_name: Mapping[str, str], what: str, known: Sequence[str]) -> str:
    found = next((by_name[name] for name in known if name in by_name), None)
    if found is None:
        text = f"no column is known to hold the {what}; it has {', '.join(map(repr, names)) or 'none'}"
        raise refusal(table, text, f"name the one that does {known[0]!r}")
    return found
