"""Where the images of a table are that are named by a path, or only by an id."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from neunets_engine.datasets.passed_over import is_passed_over
from neunets_engine.datasets.source import refusal

__all__ = ["Found", "find_files", "is_image_name"]

SUFFIXES: Final = ("", ".jpg", ".png", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".JPG", ".PNG", ".JPEG")
TRIED: Final = 10  # rows that are looked for in other places, before the names are left as they are


@dataclass(frozen=True, slots=True)
class Found:
    files: Sequence[str]
    told: tuple[str, ...]  # how they were found, where they are elsewhere than the table says


def find_files(table: Path, names: Sequence[str]) -> Found:
    """Of each of `names` the file: as written, else with a suffix, else in a folder beside the table.

    A name without a file stays as it is written. Raises: InvalidRequest where several folders have such files.
    """
    told = []
    if any("\\" in name for name in names) and not any(_exists(table.parent, name) for name in names[:TRIED]):
        names = [name.replace("\\", "/") for name in names]
        told.append("backslashes in paths are read as slashes")
    written = [os.path.join(table.parent, name) for name in names]
    place = _place(table, names)
    if place is None or place == (table.parent, ""):
        return Found(written, tuple(told))
    folder, suffix = place
    shown = os.path.join("" if folder == table.parent else folder.name, f"NAME{suffix}")
    order = (suffix, *(other for other in SUFFIXES if other != suffix))
    files = [_file(folder, name, order) or file for name, file in zip(names, written, strict=True)]
    return Found(files, (*told, f"images are found as {shown}, by the names in the table"))


def is_image_name(table: Path, name: str) -> bool:
    """Whether there is such a file."""
    return bool(name) and any(_place(table, [form]) is not None for form in (name, name.replace("\\", "/")))


def _place(table: Path, names: Sequence[str]) -> tuple[Path, str] | None:
    """The folder of the first file that there is, and what is to be added to its name."""
    for name in names[:TRIED]:
        for suffix in SUFFIXES:
            if _exists(table.parent, name + suffix):
                return table.parent, suffix
    folders = sorted(entry for entry in table.parent.iterdir() if entry.is_dir() and not is_passed_over(entry.name))
    for name in names[:TRIED]:
        found = [(folder, suffix) for folder in folders for suffix in SUFFIXES if _exists(folder, name + suffix)]
        places = sorted({folder for folder, _ in found})
        if len(places) > 1:
            places = [folder for folder in places if folder.name.casefold() in table.stem.casefold()] or places
        if len(places) > 1:
            text = f"files of the name {name!r} are in {' and '.join(folder.name for folder in places[:3])}"
            raise refusal(table, text, "write the folder before the names")
        if places:
            return next(pair for pair in found if pair[0] == places[0])
    return None


def _file(folder: Path, name: str, suffixes: Sequence[str]) -> str | None:
    return next((os.path.join(folder, name + suffix) for suffix in suffixes if _exists(folder, name + suffix)), None)


def _exists(folder: Path, name: str) -> bool:
    try:
        return os.path.isfile(os.path.join(folder, name))
    except ValueError:  # a zero in the name
        return False
