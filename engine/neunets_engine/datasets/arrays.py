"""Sources that hold arrays: `.npz`, a folder of idx files, and scikit-learn's digits."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.lib.npyio import NpzFile

from neunets_engine.datasets.source import Array, Examples, Source, refusal

__all__ = ["is_idx_folder", "read_digits", "read_idx", "read_npz"]

IDX_NAMES: Final[Mapping[str, str]] = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
UNSIGNED_BYTE: Final = 8  # idx's code of the type


def read_npz(path: Path) -> Source:
    """`x_train`, `y_train`, and where there is a test set `x_test`, `y_test`; optionally `classes`, the names."""
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, NpzFile):
            raise ValueError("it holds a single array, without a name")
        with file:
            arrays = {name: np.asarray(file[name]) for name in file.files}  # numpy gives a foreign member as bytes
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        fix = "write it with numpy.savez, without object arrays"
        raise refusal(path, f"it cannot be read as .npz ({error})", fix) from error
    for name in ("x_train", "y_train"):
        if name not in arrays:
            raise refusal(path, f"it has no array {name}", f"save it as {name}")
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise refusal(path, "of x_test and y_test it has only one", "save both, or neither")
    values = _distinct(path, arrays["y_train"])
    names = [value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in values]
    if "classes" in arrays:
        names = [str(name) for name in arrays["classes"].tolist()]
        if len(names) != len(values):
            raise refusal(path, f"{len(names)} names in classes, {len(values)} labels in y_train", "make them agree")
        if len(set(names)) != len(names):
            raise refusal(path, "classes holds a name twice", "give each class a name of its own")
    train = _examples(path, arrays, "train", values)
    test = _examples(path, arrays, "test", values) if "x_test" in arrays else None
    if test is not None and test.x.shape[1:] != train.x.shape[1:]:
        text = f"examples of {test.x.shape[1:]} in x_test, of {train.x.shape[1:]} in x_train"
        raise refusal(path, text, "make them alike")
    return Source(tuple(names), train, test)


def _distinct(path: Path, labels: Array) -> list[Any]:
    if labels.ndim != 1:
        raise refusal(path, f"y_train has the shape {labels.shape}", "one label an example is needed: (N,)")
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all():
            row = int(np.argmin(np.isfinite(labels)))
            raise refusal(path, f"y_train[{row}] is {labels[row]}", "give every example a label")
        if (labels != np.round(labels)).any():
            raise refusal(path, "y_train holds fractions", "labels are whole numbers or strings")
    elif labels.dtype.kind not in "iubUS":
        raise refusal(path, f"y_train is of type {labels.dtype}", "labels are whole numbers or strings")
    distinct: list[Any] = np.unique(labels).tolist()
    return list(map(int, distinct)) if labels.dtype.kind == "f" else distinct


def _examples(path: Path, arrays: Mapping[str, Array], part: str, values: list[Any]) -> Examples:
    x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
    if x.shape[:1] != y.shape:
        raise refusal(path, f"x_{part} is {x.shape}, y_{part} is {y.shape}", "one label an example is needed")
    number = {value: index for index, value in enumerate(values)}
    try:
        labels = np.array([number[value] for value in y.tolist()], np.int64)
    except KeyError as error:
        raise refusal(path, f"the label {error} of y_{part} is not in y_train", "remove those rows") from None
    return Examples(_stored(path, f"x_{part}", x), labels)


def _stored(path: Path, name: str, x: Array) -> Array:
    """uint8 (N, H, W, C) for images, float32 (N, L, C) for sequences."""
    if 0 in x.shape[1:]:
        raise refusal(path, f"{name} is {x.shape}", "an example needs values")
    if x.dtype == np.uint8 and x.ndim in (3, 4):
        return x[..., np.newaxis] if x.ndim == 3 else x
    if x.dtype.kind == "f" and x.ndim in (2, 3):
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite
            stored = (x[..., np.newaxis] if x.ndim == 2 else x).astype(np.float32)
        if not np.isfinite(stored).all():
            row = int(np.argwhere(~np.isfinite(stored))[0][0])
            raise refusal(path, f"{name}[{row}] holds a value that is no number of float32", "fill or remove it")
        return stored
    wanted = "images are uint8 (N, H, W) or (N, H, W, C), sequences float (N, L) or (N, L, C)"
    raise refusal(path, f"{name} is {x.dtype} {x.shape}", wanted)


def is_idx_folder(path: Path) -> bool:
    return path.is_dir() and any(_idx_file(path, name) for name in IDX_NAMES.values())


def _idx_file(path: Path, name: str) -> Path | None:
    spellings = (name, name.replace("-idx", ".idx"))
    candidates = (path / f"{spelling}{suffix}" for spelling in spellings for suffix in ("", ".gz"))
    return next((file for file in candidates if file.is_file()), None)


def read_idx(path: Path) -> Source:
    """Files by MNIST's names, packed or not; the test pair may be absent."""
    files = {part: _idx_file(path, name) for part, name in IDX_NAMES.items()}
    for part in ("x_train", "y_train"):
        if files[part] is None:
            raise refusal(path, f"{IDX_NAMES[part]}(.gz) is missing", "put it there")
    if (files["x_test"] is None) != (files["y_test"] is None):
        raise refusal(path, "of the two t10k files only one is there", "put both there, or neither")
    arrays = {part: _read_idx(file) for part, file in files.items() if file is not None}
    values = _distinct(path, arrays["y_train"])
    train = _examples(path, arrays, "train", values)
    test = _examples(path, arrays, "test", values) if "x_test" in arrays else None
    return Source(tuple(map(str, values)), train, test)


def _read_idx(file: Path) -> Array:
    if file.stat().st_size == 0:
        raise refusal(file, "the file is empty", "download it again")
    try:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        _, kind, axes = struct.unpack(">HBB", data[:4])
        shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise refusal(file, f"it cannot be read ({error})", "download it again") from error
    body = data[4 + 4 * axes :]
    if kind != UNSIGNED_BYTE or len(body) != int(np.prod(shape)):
        raise refusal(file, f"{len(body)} bytes for the shape {shape}", "download it again")
    return np.frombuffer(body, np.uint8).reshape(shape)


def read_digits() -> Source:
    """1,797 images of 8 x 8 pixels, scikit-learn's: values 0..16, spread here over 0..255."""
    from sklearn.datasets import load_digits  # an optional package, slow to import

    digits = load_digits()
    x = np.round(digits.images * (255.0 / 16.0)).astype(np.uint8)[..., np.newaxis]
    return Source(tuple(map(str, range(10))), Examples(x, digits.target.astype(np.int64)), None)
