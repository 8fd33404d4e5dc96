"""A folder of classes: `CLASS/*.png`, or `train/CLASS/*.png` and `test/CLASS/*.png`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from neunets_engine.datasets.foreign import check_layout
from neunets_engine.datasets.order import natural
from neunets_engine.datasets.parts import Part, joined, part_of
from neunets_engine.datasets.passed_over import is_passed_over
from neunets_engine.datasets.pictures import Pictures, Reading, read_pictures
from neunets_engine.datasets.source import Source, refusal

__all__ = ["SUFFIXES", "is_class_folder", "read_folder"]

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})


def is_class_folder(path: Path) -> bool:
    return path.is_dir() and any(_folders(path))


def read_folder(path: Path, reading: Reading) -> Source:
    """Raises: InvalidRequest, which names the file."""
    folders = {folder.name: folder for folder in _folders(path)}
    check_layout(path, folders)
    parts = {name: part for name in folders if (part := part_of(name)) is not None}
    if Part.TRAIN not in parts.values() or len(parts) < len(folders):
        classes = _classes(path)
        return read_pictures(classes, _pictures([path], classes, False), None, _warnings(path, 2), reading)
    uses, said = joined(parts.values())
    train = [folders[name] for name, part in parts.items() if uses[part] is Part.TRAIN]
    test = [folders[name] for name, part in parts.items() if uses[part] is Part.TEST]
    classes = _classes(folders[next(name for name, part in parts.items() if part is Part.TRAIN)])
    for folder in train + test:
        _check_known(folder, classes)
    pictures = [_pictures(part, classes, part is test) for part in (train, test) if part]
    warnings = _warnings(path, 3) + said
    return read_pictures(classes, pictures[0], pictures[1] if test else None, warnings, reading)


def _warnings(path: Path, depth: int) -> tuple[str, ...]:
    """Of what is passed over. `depth`: parts of an image's path below `path`."""
    count, first = 0, ""
    for folder, deeper, files in os.walk(path):
        deeper[:] = [name for name in deeper if not is_passed_over(name)]
        below = Path(folder).relative_to(path)
        for name in files:
            is_image = os.path.splitext(name)[1].lower() in SUFFIXES and len(below.parts) + 1 == depth
            if not is_image and not is_passed_over(name):
                count, first = count + 1, first or str(below / name)
    if not count:
        return ()
    what = "no image of a class and"
    told = f"1 file is {what} is" if count == 1 else f"{count:,} files are {what} are"
    return (f"{told} passed over, such as {first}",)


def _folders(path: Path) -> list[Path]:
    found = [entry for entry in path.iterdir() if entry.is_dir() and not is_passed_over(entry.name)]
    return sorted(found, key=lambda entry: natural(entry.name))


def _classes(path: Path) -> tuple[str, ...]:
    found = tuple(folder.name for folder in _folders(path))
    if not found:
        raise refusal(path, "there is no class", "put one folder of images a class there")
    seen: dict[str, str] = {}
    for name in found:
        other = seen.setdefault(name.strip().casefold(), name)
        if other != name:
            raise refusal(path / name, f"it differs from {other!r} by spaces or case alone", "put both into one folder")
    return found


def _check_known(path: Path, classes: Sequence[str]) -> None:
    strange = sorted({folder.name for folder in _folders(path)} - set(classes))
    if strange:
        raise refusal(path / strange[0], "this class is not in train", "remove it, or add it to train")


def _pictures(paths: Sequence[Path], classes: Sequence[str], is_test: bool) -> Pictures:
    """All images of the folders; in those after the first, and in a test set, a class may be missing."""
    folders: list[str] = []
    files: list[tuple[int, str]] = []
    labels: list[int] = []
    for number, path in enumerate(paths):
        known = [label for label, name in enumerate(classes) if not (is_test or number) or (path / name).exists()]
        for label in known:
            names = _images(path / classes[label])
            files += [(len(folders), name) for name in names]
            labels += [label] * len(names)
            folders.append(str(path / classes[label]))
    if not files:
        raise refusal(paths[0], "it has no images", "add some, or remove the folder")

    def name(row: int) -> str:
        folder, file = files[row]
        return f"{folders[folder]}{os.sep}{file}"

    def parts(size: int) -> Iterator[Sequence[str]]:
        return (
            [name(row) for row in range(begin, min(begin + size, len(files)))] for begin in range(0, len(files), size)
        )

    return Pictures(np.array(labels, np.int64), parts, name)


def _images(folder: Path) -> list[str]:
    try:
        names = sorted(os.listdir(folder))
    except NotADirectoryError:
        names = []
    except PermissionError:
        raise refusal(folder, "it may not be read", "give this user the permission") from None
    found = [name for name in names if os.path.splitext(name)[1].lower() in SUFFIXES and not is_passed_over(name)]
    if not found:
        deeper = next((file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES), None)
        if deeper is not None:
            raise refusal(folder, f"its images lie deeper, such as {deeper}", "move them up into the class's folder")
        raise refusal(folder, "this class has no images", "add some, or remove the folder")
    return found
