"""The arrays of a source, written once as they are read, in a folder that is named by the hash of their content."""

from __future__ import annotations

import hashlib
import io
import math
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

from neunets.canonical import framed
from neunets.preprocessing import Preprocessing
from neunets_engine.datasets.duplicates import Duplicate, find_duplicates, fingerprints
from neunets_engine.datasets.integrity import Sum, fault_of, write_sums
from neunets_engine.datasets.moments import Moments
from neunets_engine.datasets.source import Array, Progress, Source, Tell, refusal
from neunets_engine.disk import disk_full, free_bytes, keeping

__all__ = ["Division", "Kept", "keep"]

SCRATCH: Final = "part-"


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


def keep(source: Source, division: Division, root: Path, tell: Tell, scratch: Path | None = None) -> Kept:
    """All files or none: the folder gets its name once they are whole.

    `scratch`: a folder on the disk of `root`, which the caller removes; None: one of its own. What is kept already and
    is damaged is replaced.
    """
    root.mkdir(parents=True, exist_ok=True)
    with keeping(root), _scratch(root, scratch) as folder:
        _check_room(source, root)
        moments = Moments(source.train.shape[-1])
        x = _write_examples(source, division, folder, moments, tell)
        if source.preprocessing is not None and len(np.unique(x[0].fingerprints())) == 1:
            text = "all images are equal once their transparent pixels, depth and colours are converted"
            raise refusal(source.train.name(0), text, "draw on another background than white, without transparency")
        files = [*x, *_write_labels(source, division, folder)]
        digest = _digest(source, files)
        duplicates, first = find_duplicates(x[0].path, x[0].fingerprints(), x[1].path, x[1].fingerprints())
        size = sum(file.path.stat().st_size for file in files)
        write_sums(folder, {file.path.name: file.sum() for file in files})
        _name(folder, root / digest)
    return Kept(digest, size, *moments.result(), duplicates, first)


class _ArrayFile:
    """A `.npy` for the time of a `with`, written block by block and hashed on the way."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
        self.path = path
        self._head = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        self._hash = hashlib.sha256()
        self._bytes = 0
        self._fingerprints: list[Array] = []
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Self:
        self._stream = self.path.open("wb")
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, self._head)
        self._write(head.getbuffer())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._stream is not None
        self._stream.flush()
        os.fsync(self._stream.fileno())  # before its name says that it is whole
        self._stream.close()

    def append(self, block: Array, with_fingerprints: bool = False) -> None:
        block = np.ascontiguousarray(block)
        self._write(block.data)
        if with_fingerprints:
            self._fingerprints.append(fingerprints(block))

    def sum(self) -> Sum:
        """The SHA-256 of the whole file, with its header, which has type and shape."""
        return Sum(self._bytes, self._hash.hexdigest())

    def fingerprints(self) -> Array:
        return np.concatenate(self._fingerprints) if self._fingerprints else np.zeros(0, np.uint64)

    def _write(self, data: memoryview) -> None:
        assert self._stream is not None
        self._stream.write(data)
        self._hash.update(data)
        self._bytes += data.nbytes


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
    """Each part stands behind its length, so that no two data sets have one digest."""
    parts = [b"dataset 2", str(len(source.classes)).encode(), *(name.encode() for name in source.classes)]
    done = source.preprocessing
    if done is not None and (source.resized or done != Preprocessing.of_shape(done.shape)):
        parts.append(repr(done).encode())  # the same arrays may come from images of other sizes: other models for users
    for file in files:
        parts += [file.path.name.encode(), file.sum().sha256.encode()]
    return hashlib.sha256(framed(parts)).hexdigest()


def _check_room(source: Source, root: Path) -> None:
    """Raises: DiskFull before anything is written."""
    rows = len(source.train.y) + (0 if source.test is None else len(source.test.y))
    size = rows * math.prod(source.train.shape) * (1 if len(source.train.shape) == 3 else 4)
    if size > free_bytes(root):
        raise disk_full(root, f"the arrays of these data take {size / 1e6:,.1f} MB")


@contextmanager
def _scratch(root: Path, given: Path | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=given or root, prefix=SCRATCH))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # it is not there any more where all went well


def _name(scratch: Path, folder: Path) -> None:
    try:
        os.rename(scratch, folder)
    except OSError:  # there is such a folder already
        if not folder.exists():
            raise
        if fault_of(folder):
            damaged = scratch.with_name(f"{scratch.name}-damaged")
            os.rename(folder, damaged)
            os.rename(scratch, folder)
            shutil.rmtree(damaged, ignore_errors=True)
