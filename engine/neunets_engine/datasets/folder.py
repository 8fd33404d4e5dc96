"""A folder of classes: `CLASS/*.png`, or `train/CLASS/*.png` and `test/CLASS/*.png`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from neunets_engine.datasets.source import Array, Examples, Source, refusal

__all__ = ["is_class_folder", "read_folder"]

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})


def is_class_folder(path: Path) -> bool:
    return path.is_dir() and any(_folders(path))


def read_folder(path: Path) -> Source:
    """Raises: InvalidRequest, which names the file."""
    parts = {folder.name: folder for folder in _folders(path)}
    if "train" in parts and parts.keys() <= {"train", "test"}:
        classes, warnings = _classes(parts["train"]), _warnings(path, 3)
        train = _read(parts["train"], classes, None)
        if "test" not in parts:
            return Source(classes, train, None, warnings)
        strange = sorted({folder.name for folder in _folders(parts["test"])} - set(classes))
        if strange:
            raise refusal(parts["test"] / strange[0], "this class is not in train", "remove it, or add it to train")
        test = _read(parts["test"], classes, train.x.shape[1:])
        return Source(classes, train, test, warnings)
    classes = _classes(path)
    return Source(classes, _read(path, classes, None), None, _warnings(path, 2))


def _warnings(path: Path, depth: int) -> tuple[str, ...]:
    """Of what is passed over. `depth`: parts of an image's path below `path`."""
    files = sorted(file.relative_to(path) for file in path.rglob("*") if file.is_file())
    others = [
        file
        for file in files
        if not file.name.startswith(".") and (file.suffix.lower() not in SUFFIXES or len(file.parts) != depth)
    ]
    if not others:
        return ()
    what = "no image of a class and"
    count = f"1 file is {what} is" if len(others) == 1 else f"{len(others)} files are {what} are"
    return (f"{count} passed over, such as {others[0]}",)


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _classes(path: Path) -> tuple[str, ...]:
    found = tuple(folder.name for folder in _folders(path))
    if not found:
        raise refusal(path, "there is no class", "put one folder of images a class there")
    return found


def _read(path: Path, classes: Sequence[str], shape: tuple[int, ...] | None) -> Examples:
    # A test set may lack a class.
    known = [(path / name, label) for label, name in enumerate(classes) if shape is None or (path / name).exists()]
    files = [(file, label) for folder, label in known for file in _images(folder)]
    if not files:
        raise refusal(path, "it has no images", "add some, or remove the folder")
    sizes: Counter[tuple[int, ...]] = Counter()
    grey = True
    images = []
    for file, label in files:
        image = _open(file)
        grey = grey and image.ndim == 2
        sizes[image.shape[:2]] += 1
        images.append((image, label, file))
    wanted = shape[:2] if shape is not None else sizes.most_common(1)[0][0]
    for image, _, file in images:
        if image.shape[:2] != wanted:
            size = f"{image.shape[1]} x {image.shape[0]} pixels"
            raise refusal(
                file, f"{size}, most others have {wanted[1]} x {wanted[0]}", "resize all images to one size first"
            )
    channels = shape[2] if shape is not None else 1 if grey else 3
    x = np.stack([_channels(image, channels) for image, _, _ in images])
    return Examples(x, np.array([label for _, label, _ in images], np.int64))


def _images(folder: Path) -> list[Path]:
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not found:
        raise refusal(folder, "this class has no images", "add some, or remove the folder")
    return found


def _open(file: Path) -> Array:
    """(H, W) or (H, W, 3), uint8."""
    try:
        if file.stat().st_size == 0:
            raise refusal(file, "the file is empty", "replace or remove it")
        with Image.open(file) as image:
            image.load()
            if image.mode.startswith(("I", "F")):
                raise refusal(file, f"its pixels are of mode {image.mode}", "convert it to 8 bits a channel")
            is_grey = image.mode in ("1", "L", "LA")
            return np.asarray(image.convert("L" if is_grey else "RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise refusal(file, f"it cannot be read as an image ({error})", "replace or remove it") from error


def _channels(image: Array, channels: int) -> Array:
    if image.ndim == 2:
        return np.repeat(image[:, :, np.newaxis], channels, axis=2)
    if channels == 1:  # a coloured test image of a grey data set
        return np.asarray(Image.fromarray(image).convert("L"))[:, :, np.newaxis]
    return image
