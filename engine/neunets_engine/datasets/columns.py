"""Which column of a table holds the images, which the labels, which the split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from neunets.errors import InvalidRequest
from neunets_engine.datasets.source import readable, refusal

__all__ = ["Chosen", "Columns", "choose_columns", "find_columns", "no_column"]

# By preference; without regard to case, and to spaces or hyphens in place of underscores.
IMAGES: Final = (
    "path", "file", "filename", "file_name", "filepath", "file_path", "image", "img", "image_path", "img_path",
    "image_file", "image_name", "img_name", "picture", "image_id", "imageid", "img_id", "id_code", "id",
)  # fmt: skip
LABELS: Final = (
    "label", "class", "target", "category", "labels", "classes", "class_name", "label_name", "category_name",
    "fine_label", "y", "class_id", "label_id", "category_id", "breed", "species", "diagnosis", "emotion", "digit",
)  # fmt: skip
SPLITS: Final = ("split", "subset", "partition", "usage")
# Of numbered rows, as pandas writes them.
INDEX: Final = frozenset({"", "index", "unnamed:_0"})


@dataclass(frozen=True, slots=True)
class Chosen:
    """Names of columns that the user gives; empty: they are known by the names above."""

    image: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names as the table has them."""

    image: str
    label: str
    split: str | None
    told: tuple[str, ...] = ()  # what was guessed


def choose_columns(table: object, names: Sequence[str], chosen: Chosen) -> Columns:
    """A single column beside the images holds the labels. Raises: InvalidRequest, which lists the columns."""
    image, label, split = find_columns(names, chosen)
    if image is None:
        raise no_column(table, names, "images")
    left = [name for name in names if name not in (image, split) and _plain(name) not in INDEX]
    if label is None and len(left) == 1:
        return Columns(image, left[0], split, (f"the column {left[0]!r} is read as the labels",))
    if label is None:
        raise no_column(table, names, "labels")
    return Columns(image, label, split)


def find_columns(names: Sequence[str], chosen: Chosen) -> tuple[str | None, str | None, str | None]:
    """Of images, labels and splits. Raises: InvalidRequest where a chosen one is missing."""
    by_name = {_plain(name): name for name in reversed(names)}

    def find(field: str, given: str, known: Sequence[str]) -> str | None:
        if not given:
            return next((by_name[name] for name in known if name in by_name), None)
        if given in names:
            return given
        if _plain(given) not in by_name:
            text = f"no column is named {given!r}; there are {', '.join(map(repr, names)) or 'none'}"
            raise InvalidRequest(field, readable(text))
        return by_name[_plain(given)]

    image = find("image_column", chosen.image, IMAGES)
    label = find("label_column", chosen.label, [name for name in LABELS if by_name.get(name) != image])
    return (None if image == label else image), label, find("split", "", SPLITS)


def no_column(table: object, names: Sequence[str], what: str) -> InvalidRequest:
    """`what`: "images" or "labels"."""
    known, option = (IMAGES[0], "image") if what == "images" else (LABELS[0], "label")
    text = f"no column is known to hold the {what}; it has {', '.join(map(repr, names)) or 'none'}"
    return refusal(table, text, f"give its name with --{option}-column, or name it {known!r}")


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip()).casefold()
