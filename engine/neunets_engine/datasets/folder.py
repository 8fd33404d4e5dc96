"""A folder of classes: `CLASS/*.png`, or `train/CLASS/*.png` and `test/CLASS/*.png`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from neunets_engine.datasets.foreign import check_layout
from neunets_engine.datasets.image_files import is_image_file
from neunets_engine.datasets.order import natural
from neunets_engine.datasets.parts import Part, part_of
from neunets_engine.datasets.passed_over import is_passed_over
from neunets_engine.datasets.pictures import Pictures, Reading, read_pictures
from neunets_engine.datasets.source import Remarks, Source, refusal

__all__ = ["innermost", "is_class_folder", "read_folder"]

# What is said of files in a folder of classes, after "3 files ".
NO_IMAGE: Final = "passed over, no image of a class"
DEEPER: Final = "in folders within that of a class, which count as of this class"


def is_class_folder(path: Path) -> bool:
    return path.is_dir() and any(_folders(path))


def read_folder(path: Path, reading: Reading) -> Source:
    """Raises: InvalidRequest, which names the file."""
    folders = {folder.name: folder for folder in _folders(path)}
    check_layout(path, folders)
    parts = {name: part for name in folders if (part := part_of(name)) is not None}
    if Part.TRAIN not in parts.values() or len(parts) < len(folders):
        classes = _classes(path)
        return read_pictures(classes, _pictures([path], classes), None, _warnings([path]), reading)
    trains, valids, tests = (
        [innermost(folders[name]) for name, part in parts.items() if part is wanted] for wanted in Part
    )
    unlabelled = [place for place in valids + tests if not _folders(place) and _has_images(place)]
    said = tuple(f"{place} is left aside: its images are in no folders of classes" for place in unlabelled)
    valids, tests = ([place for place in places if place not in unlabelled] for places in (valids, tests))
    for folder in trains + valids + tests:
        check_layout(folder, [inner.name for inner in _folders(folder)])
    classes = _classes(trains[0])
    for folder in trains + valids + tests:
        _check_known(folder, classes)
    train = _pictures(trains + valids, classes, len(trains))
    test = _pictures(tests, classes, 0) if tests else None
    return read_pictures(classes, train, test, said + _warnings(trains + valids + tests), reading)


def innermost(path: Path, is_data: Callable[[Path], bool] = lambda _: False) -> Path:
    """`path`, or where it is no data and holds nothing but one folder of folders, as archives do, that folder."""
    while not is_data(path) and len(folders := _folders(path)) == 1 and _folders(folders[0]) and not _has_images(path):
        if _has_images(folders[0]):
            return path  # it is a class
        path = folders[0]
    return path


def _has_images(folder: Path) -> bool:
    return any(is_image_file(str(entry)) for entry in folder.iterdir() if not entry.is_dir())


def _warnings(places: Sequence[Path]) -> tuple[str, ...]:
    """`places`: folders of classes. Of what is passed over, and of images that lie deeper in their class."""
    remarks = Remarks()
    for place in places:
        for folder, deeper, files in os.walk(place):
            deeper[:] = [name for name in deeper if not is_passed_over(name)]
            depth = len(Path(folder).relative_to(place).parts)
            for name in files:
                file = os.path.join(folder, name)
                is_image = depth > 0 and is_image_file(file)
                if is_passed_over(name) or (is_image and depth == 1):
                    continue
                remarks.add(DEEPER if is_image else NO_IMAGE, file)
    return remarks.sentences("file")


def _folders(path: Path) -> list[Path]:
    try:
        found = [entry for entry in path.iterdir() if entry.is_dir() and not is_passed_over(entry.name)]
    except PermissionError:
        raise refusal(path, "it may not be read", "give this user the permission") from None
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


def _pictures(paths: Sequence[Path], classes: Sequence[str], trains: int = 1) -> Pictures:
    """All images of the folders: the first `trains` train, the others validate, or test.

    A class may be missing in all but the first that trains.
    """
    folders: list[str] = []
    files: list[tuple[int, str]] = []
    labels: list[int] = []
    is_valid: list[bool] = []
    for number, path in enumerate(paths):
        for label, class_name in enumerate(classes):
            if (number or not trains) and not (path / class_name).exists():
                continue
            names = _images(path / class_name)
            files += [(len(folders), file) for file in names]
            labels += [label] * len(names)
            is_valid += [number >= trains] * len(names)
            folders.append(str(path / class_name))
    if not files:
        raise refusal(paths[0], "it has no images", "add some, or remove the folder")

    def name(row: int) -> str:
        folder, file = files[row]
        return f"{folders[folder]}{os.sep}{file}"

    def parts(size: int) -> Iterator[Sequence[str]]:
        return (
            [name(row) for row in range(begin, min(begin + size, len(files)))] for begin in range(0, len(files), size)
        )

    return Pictures(np.array(labels, np.int64), parts, name, np.array(is_valid, np.bool_))


def _images(folder: Path) -> list[str]:
    """Names within `folder`, with those of folders below it where it is clear that they are of the same class."""
    try:
        names = sorted(os.listdir(folder))
    except NotADirectoryError:
        names = []
    except PermissionError:
        raise refusal(folder, "it may not be read", "give this user the permission") from None
    found = [name for name in names if is_image_file(os.path.join(folder, name))]
    deeper = _deeper_images(folder)
    if not found and not deeper:
        raise refusal(folder, "this class has no images", "add some, or remove the folder")
    if not found and len(_folders(folder)) > 1:
        text = f"its images lie deeper, such as {folder / deeper[0]}"
        raise refusal(folder, text, "move them up into the class's folder")
    return found + deeper


def _deeper_images(folder: Path) -> list[str]:
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted((name for name in folders if not is_passed_over(name)), key=natural)
        if place != str(folder):
            below = os.path.relpath(place, folder)
            found += [os.path.join(below, name) for name in sorted(files) if is_image_file(os.path.join(place, name))]
    return found
