"""Whether the arrays of a kept data set are those that were written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from neunets.errors import IllegalTransition
from neunets.service.v1 import service_pb2

__all__ = ["Checked", "Sum", "fault_of", "write_sums"]

SUMS: Final = "sums.json"
FILES: Final = ("x_train.npy", "y_train.npy", "x_test.npy", "y_test.npy", "split.npy")
# Larger files are compared by their size alone where a run starts: to read them takes its time.
QUICK_BYTES: Final = 2 << 30


@dataclass(frozen=True, slots=True)
class Sum:
    bytes: int
    sha256: str


def write_sums(folder: Path, sums: Mapping[str, Sum]) -> None:
    (folder / SUMS).write_text(json.dumps({name: [found.bytes, found.sha256] for name, found in sums.items()}))


def fault_of(folder: Path, most_bytes: int | None = None) -> str:
    """What is wrong with the arrays in `folder`; empty: nothing. Files of more than `most_bytes` are not hashed.

    A data set of before sums were kept is compared with the headers of its arrays.
    """
    try:
        sums = _sums(folder)
        for name in FILES:
            fault = _fault(folder / name, sums.get(name) if sums is not None else None, most_bytes)
            if fault:
                return f"{folder / name} {fault}"
    except (OSError, ValueError, TypeError) as error:
        return f"{folder} cannot be read ({error})"
    return ""


class Checked:
    """The data sets kept in a folder: what was found whole is hashed again only when it has changed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._whole: dict[str, list[tuple[int, int]]] = {}

    def check(self, dataset: service_pb2.Dataset) -> None:
        """Raises: IllegalTransition, which says to register its source again."""
        folder = self._root / dataset.sha256
        try:
            state = [((found := (folder / name).stat()).st_size, found.st_mtime_ns) for name in (*FILES, SUMS)]
        except OSError:
            state = []
        if state and self._whole.get(dataset.sha256) == state:
            return
        fault = fault_of(folder, QUICK_BYTES)
        if fault:
            fix = f"register {dataset.source} again, for example with `neunets inspect`"
            raise IllegalTransition(f"the kept data are damaged: {fault}; {fix}", state="DAMAGED")
        self._whole[dataset.sha256] = state


def _sums(folder: Path) -> Mapping[str, Sum] | None:
    path = folder / SUMS
    if not path.exists():
        return None
    return {name: Sum(int(size), str(digest)) for name, (size, digest) in json.loads(path.read_text()).items()}


def _fault(path: Path, wanted: Sum | None, most_bytes: int | None) -> str:
    if not path.exists():
        return "is missing"
    size = path.stat().st_size
    expected = wanted.bytes if wanted is not None else _announced(path)
    if size != expected:
        return f"has {size:,} bytes, not {expected:,}"
    if wanted is None or (most_bytes is not None and size > most_bytes):
        return ""
    return "" if _sha256(path) == wanted.sha256 else "has another SHA-256 than when it was written"


def _announced(path: Path) -> int:
    """Bytes of a `.npy` by its header."""
    with path.open("rb") as stream:
        np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        return stream.tell() + int(np.prod(shape, dtype=object)) * dtype.itemsize


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
