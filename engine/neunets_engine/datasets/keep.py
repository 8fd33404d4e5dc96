"""The arrays of a source, written once as they are read, in a folder that is named by the hash of their content."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import numpy as np

from neunets.preprocessing import Preprocessing
from neunets_engine.datasets.duplicates import Duplicate, find_duplicates, fingerprints
from neunets_engine.datasets.moments import Moments
from neunets_engine.datasets.source import Array, Progress, Source, Tell
from neunets_engine.disk import keeping

__all__ = ["Division", "Kept", "keep"]

SCRATCH: Final = "part"


@dataclass(frozen=True, slots=True)
class Division:
    """`aside` (N,) bool: rows of the source's training examples that are the test set, none where it has its own.

    `is_valid` bool: of those that are left, the rows that validate.
    """

    aside: Array
    is_valid: Array


@dataclass(frozen=True, slots=True)
class Kept:
    digest: str
    bytes: int
    mean: Array  # (C,) over the training rows
    std: Array
    duplicates: int
    duplicate: Duplicate | None  # the first


def keep(source: Source, division: Division, root: Path, tell: Tell) -> Kept:
    """All files or none: the folder gets its name once they are whole."""
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    with keeping(root), _scratch(root) as folder:
        moments = Moments(source.train.shape[-1])
        x = _write_examples(source, division, folder, moments, tell)
        others = _write_labels(source, division, folder)
        digest = _digest(source, [*x, *others])
        duplicates, first = find_duplicates(x[0].path, x[0].fingerprints(), x[1].path, x[1].fingerprints())
        size = sum(file.stat().st_size for file in folder.iterdir())
        _name(folder, root / digest)
    return Kept(digest, size, *moments.result(), duplicates, first)


class _ArrayFile:
    """A `.npy` for the time of a `with`, written block by block and hashed on the way."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
        self.path = path
        self._head = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        self._hash = hashlib.sha256(f"{path.stem} {dtype} {shape}".encode())
        self._fingerprints: list[Array] = []
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Self:
        self._stream = self.path.open("wb")
        np.lib.format.write_array_header_1_0(self._stream, self._head)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._stream is not None
        self._stream.close()

    def append(self, block: Array, with_fingerprints: bool = False) -> None:
        assert self._stream is not None
        block = np.ascontiguousarray(block)
        self._stream.write(block.data)
        self._hash.update(block.data)
        if with_fingerprints:
            self._fingerprints.append(fingerprints(block))

    def digest(self) -> bytes:
        return self._hash.digest()

    def fingerprints(self) -> Array:
        return np.concatenate(self._fingerprints) if self._fingerprints else np.zeros(0, np.uint64)


def _write_examples(
    source: Source, division: Division, folder: Path, moments: Moments, tell: Tell
) -> tuple[_ArrayFile, _ArrayFile]:
    """x_train and x_test; `moments` sees the rows that train."""
    train, test, aside = source.train, source.test, division.aside
    dtype = np.dtype(np.uint8 if len(train.shape) == 3 else np.float32)
    rows = (int((~aside).sum()), int(aside.sum()) if test is None else len(test.y))
    total, done, kept = len(train.y) + (0 if test is None else len(test.y)), 0, 0
    with (
        _ArrayFile(folder / "x_train.npy", (rows[0], *train.shape), dtype) as x_train,
        _ArrayFile(folder / "x_test.npy", (rows[1], *train.shape), dtype) as x_test,
    ):
        for block in train.blocks():
            is_aside = aside[done : done + len(block)]
            to_train = block[~is_aside]
            moments.add(to_train[~division.is_valid[kept : kept + len(to_train)]])
            x_train.append(to_train, with_fingerprints=True)
            x_test.append(block[is_aside], with_fingerprints=True)
            done, kept = done + len(block), kept + len(to_train)
            tell(Progress(train.stage, done, total))
        for block in test.blocks() if test is not None else ():
            x_test.append(block, with_fingerprints=True)
            done += len(block)
            tell(Progress(train.stage, done, total))
    return x_train, x_test


def _write_labels(source: Source, division: Division, folder: Path) -> list[_ArrayFile]:
    y, aside = source.train.y, division.aside
    y_test = y[aside] if source.test is None else source.test.y
    files = []
    for name, array in (("y_train", y[~aside]), ("y_test", y_test), ("split", division.is_valid)):
        with _ArrayFile(folder / f"{name}.npy", array.shape, array.dtype) as file:
            file.append(array)
        files.append(file)
    return files


def _digest(source: Source, files: list[_ArrayFile]) -> str:
    state = hashlib.sha256("\0".join(source.classes).encode())
    done = source.preprocessing
    if done is not None and done != Preprocessing.of_shape(done.shape):
        state.update(repr(done).encode())  # equal arrays, which other models come from
    for file in files:
        state.update(file.digest())
    return state.hexdigest()


@contextmanager
def _scratch(root: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=root, prefix=f"{SCRATCH}-{os.getpid()}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # it is not there any more where all went well


def _sweep(root: Path) -> None:
    """Remove what an engine that was killed has left: only one works on a folder at a time."""
    for folder in root.glob(f"{SCRATCH}-*"):
        if not folder.name.startswith(f"{SCRATCH}-{os.getpid()}-"):
            shutil.rmtree(folder, ignore_errors=True)


def _name(scratch: Path, folder: Path) -> None:
    try:
        os.rename(scratch, folder)
    except OSError:  # the same content is there already
        if not folder.exists():
            raise
