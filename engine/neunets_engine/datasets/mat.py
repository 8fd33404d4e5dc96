"""Arrays of numbers in MATLAB's files of version 5, read block by block.

SciPy's reader is not used: on damaged files it crashed the process.
https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from neunets.errors import InvalidRequest
from neunets.files import open_regular
from neunets_engine.datasets.downloads import DAMAGED
from neunets_engine.datasets.source import Array, refusal

__all__ = ["Matrix", "find_matrix"]

HEADER_BYTES: Final = 128
MATRIX, COMPRESSED = 14, 15
TYPES: Final = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
CHUNK_BYTES: Final = 1 << 20
MOST_AXES, MOST_LETTERS = 8, 64


@dataclass(frozen=True, slots=True)
class Matrix:
    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    begin: int  # of its element in the file

    def blocks(self, count: int) -> Iterator[Array]:
        """(n,) at most `count` values at a time, in the order of the file: by columns. Raises: InvalidRequest."""
        left = int(np.prod(self.shape, dtype=object))
        with open_regular(self.file) as stream:
            stream.seek(self.begin)
            try:
                element = _Element(stream)
                _described(element)
                while left:
                    take = min(left, count)
                    yield np.frombuffer(element.read(take * self.dtype.itemsize), self.dtype)
                    left -= take
            except (ValueError, struct.error, zlib.error) as error:
                raise _damaged(self.file, error) from error


def find_matrix(file: Path, name: str) -> Matrix:
    """Raises: InvalidRequest."""
    try:
        with open_regular(file) as stream:
            head = stream.read(HEADER_BYTES)
            if len(head) < HEADER_BYTES or head[126:] != b"IM":
                raise ValueError("it is none of version 5, little-endian")
            begin = HEADER_BYTES
            while stream.seek(begin) == begin and (tag := stream.read(8)):
                _, size = struct.unpack("<II", tag)
                stream.seek(begin)
                found, shape, dtype = _described(_Element(stream))
                if found == name:
                    return Matrix(file, name, shape, dtype, begin)
                begin += 8 + size
        raise ValueError(f"it has no array {name}")
    except OSError as error:
        raise refusal(file, f"it cannot be read ({error.strerror})", DAMAGED) from error
    except (ValueError, struct.error, zlib.error) as error:
        raise _damaged(file, error) from error


class _Element:
    """The bytes of a matrix that begins where `stream` is, unpacked on the way."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        kind, self._left = struct.unpack("<II", stream.read(8))
        self._unpack = zlib.decompressobj() if kind == COMPRESSED else None
        if self._unpack is not None:
            kind, _ = struct.unpack("<II", self.read(8))
        if kind != MATRIX:
            raise ValueError(f"an element is of type {kind}")

    def read(self, size: int) -> bytes:
        """Raises: ValueError where it ends before."""
        data = self._packed(size) if self._unpack is None else self._unpacked(self._unpack, size)
        if len(data) < size:
            raise ValueError(f"it ends {size - len(data)} bytes too early")
        return data

    def part(self) -> tuple[int, bytes]:
        """Type and content of a short part: the padding behind it is read, too."""
        kind, size = struct.unpack("<II", self.read(8))
        if kind >> 16:  # the content is within the tag
            return kind & 0xFFFF, struct.pack("<I", size)[: kind >> 16]
        if size > 4 * MOST_LETTERS:
            raise ValueError(f"a part of the header has {size} bytes")
        return kind, self.read(-(-size // 8) * 8)[:size]

    def _packed(self, size: int) -> bytes:
        data = self._stream.read(min(size, self._left))
        self._left -= len(data)
        return data

    def _unpacked(self, unpack: Any, size: int) -> bytes:
        parts = []
        while size and not unpack.eof:
            packed = unpack.unconsumed_tail or self._packed(CHUNK_BYTES)
            parts.append(unpack.decompress(packed, size))
            size -= len(parts[-1])
            if not packed and not parts[-1]:
                break
        return b"".join(parts)


def _described(element: _Element) -> tuple[str, tuple[int, ...], np.dtype[np.generic]]:
    """Name, shape and type of a matrix; leaves `element` where its values begin."""
    element.part()  # flags
    _, axes = element.part()
    shape = struct.unpack(f"<{len(axes) // 4}i", axes)
    _, letters = element.part()
    (kind,) = struct.unpack("<I", element.read(4))
    kind, size = (kind & 0xFFFF, kind >> 16) if kind >> 16 else (kind, *struct.unpack("<I", element.read(4)))
    if kind not in TYPES:
        raise ValueError(f"values are of type {kind}")
    dtype = np.dtype(TYPES[kind])
    if not 1 <= len(shape) <= MOST_AXES or min(shape) < 0 or int(np.prod(shape, dtype=object)) * dtype.itemsize != size:
        raise ValueError(f"{size} bytes for the shape {shape}")
    return letters.decode("latin1"), shape, dtype


def _damaged(file: Path, error: Exception) -> InvalidRequest:
    return refusal(file, f"it cannot be read as a file of MATLAB ({error})", DAMAGED)
