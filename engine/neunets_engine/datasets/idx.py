"""Files of MNIST's format: a header with type and shape, then the values; packed with gzip or not."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import numpy as np

from neunets_engine.datasets.labels import distinct, numbered
from neunets_engine.datasets.opening import check_example, check_file, open_file
from neunets_engine.datasets.source import Array, Examples, Source, refusal, rows_a_block

__all__ = ["IDX_NAMES", "is_idx_folder", "read_idx"]

IDX_NAMES: Final[Mapping[str, str]] = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
T = TypeVar("T")
UNSIGNED_BYTE: Final = 8  # idx's code of the type
AXES: Final = {"x": 3, "y": 1}
DAMAGED: Final = "download it again"


def is_idx_folder(path: Path) -> bool:
    return path.is_dir() and any(_file(path, name) for name in IDX_NAMES.values())


def read_idx(path: Path, classes: tuple[str, ...] | None = None) -> Source:
    """Files by MNIST's names; the test pair may be absent. `classes`: names of the labels 0, 1, ..., where known."""
    files = {part: _file(path, name) for part, name in IDX_NAMES.items()}
    for part in ("x_train", "y_train"):
        if files[part] is None:
            raise refusal(path, f"{IDX_NAMES[part]}(.gz) is missing", "put it there")
    if (files["x_test"] is None) != (files["y_test"] is None):
        raise refusal(path, "of the two t10k files only one is there", "put both there, or neither")
    found = {part: file for part, file in files.items() if file is not None}
    for part in [part for part in ("train", "test") if f"x_{part}" in found]:
        _check_counts(found[f"x_{part}"], found[f"y_{part}"])
    labels = {part: _labels(file) for part, file in found.items() if part.startswith("y")}
    values = distinct(path, labels["y_train"])
    names = tuple(map(str, values))
    if classes is not None and values == list(range(len(classes))):
        names = classes
    sets = [
        _examples(found[f"x_{part}"], numbered(path, f"y_{part}", labels[f"y_{part}"], values))
        for part in ("train", "test")
        if f"x_{part}" in found
    ]
    if len(sets) > 1 and sets[1].shape != sets[0].shape:
        text = f"images of {sets[1].shape[1]} x {sets[1].shape[0]} pixels"
        raise refusal(found["x_test"], f"{text}, others in x_train", "make them alike")
    return Source(names, sets[0], sets[1] if len(sets) > 1 else None)


def _file(path: Path, name: str) -> Path | None:
    spellings = (name, name.replace("-idx", ".idx"))
    candidates = (path / f"{spelling}{suffix}" for spelling in spellings for suffix in ("", ".gz"))
    return next((file for file in candidates if file.is_file()), None)


def _check_counts(images: Path, labels: Path) -> None:
    """By the headers, before anything is unpacked."""
    count, several = (
        _values(file, AXES[part], lambda shape, _: shape[0]) for part, file in (("x", images), ("y", labels))
    )
    if count != several:
        raise refusal(images, f"it has {count} images, there are {several} labels", "one label an example is needed")


def _examples(file: Path, y: Array) -> Examples:
    count, height, width = _values(file, AXES["x"], lambda shape, _: shape)
    if not height * width:
        raise refusal(file, f"its images are of {width} x {height} pixels", DAMAGED)
    shape = (height, width, 1)
    check_example(file, shape, 1)

    def blocks() -> Iterator[Array]:
        rows = rows_a_block(shape, np.dtype(np.uint8))
        with open_file(file) as stream:
            _read(file, stream, 4 * (1 + AXES["x"]))
            for begin in range(0, count, rows):
                size = min(rows, count - begin) * height * width
                yield np.frombuffer(_read(file, stream, size), np.uint8).reshape(-1, *shape)
            _check_end(file, stream)

    return Examples(y, shape, blocks, lambda row: f"image {row} of {file}")


def _labels(file: Path) -> Array:
    def read(shape: tuple[int, ...], stream: BinaryIO) -> Array:
        values = np.frombuffer(_read(file, stream, shape[0]), np.uint8)
        _check_end(file, stream)
        return values

    return _values(file, AXES["y"], read)


def _values(file: Path, axes: int, read: Callable[[tuple[int, ...], BinaryIO], T]) -> T:
    """What `read` makes of the shape and the stream behind the header."""
    check_file(file)
    if file.stat().st_size == 0:
        raise refusal(file, "the file is empty", DAMAGED)
    with open_file(file) as stream:
        zero, kind, found = struct.unpack(">HBB", _read(file, stream, 4))
        if (zero, kind, found) != (0, UNSIGNED_BYTE, axes):
            text = f"its first bytes are {zero:04x} {kind:02x} {found:02x}, not 0000 {UNSIGNED_BYTE:02x} {axes:02x}"
            raise refusal(file, f"it cannot be read as idx ({text})", DAMAGED)
        return read(struct.unpack(f">{axes}I", _read(file, stream, 4 * axes)), stream)


def _read(file: Path, stream: BinaryIO, size: int) -> bytes:
    try:
        data = stream.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise refusal(file, f"it cannot be read ({error})", DAMAGED) from error
    if len(data) < size:
        raise refusal(file, f"it ends {size - len(data)} bytes too early", DAMAGED)
    return data


def _check_end(file: Path, stream: BinaryIO) -> None:
    try:
        more = stream.read(1)
    except (OSError, EOFError, zlib.error) as error:
        raise refusal(file, f"it cannot be read ({error})", DAMAGED) from error
    if more:
        raise refusal(file, "it is longer than its header says", DAMAGED)
