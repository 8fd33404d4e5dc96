"""Files that somebody else wrote: opened only where they are regular, and never larger than they announce."""

from __future__ import annotations

import gzip
import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, TextIO, cast

from neunets.files import open_regular
from neunets_engine.datasets.source import refusal

__all__ = ["LARGEST_EXAMPLE", "check_example", "check_file", "check_member", "open_file", "text_lines"]

# The bytes of one example: more is no input of a network, and blocks of a few examples are in memory at once.
LARGEST_EXAMPLE: Final = 64 << 20
LONGEST_LINE: Final = 1 << 20


def check_file(path: Path | str) -> None:
    """For libraries that open a path themselves. Raises: InvalidRequest where `path` is no regular file."""
    try:
        open_regular(path).close()
    except OSError as error:
        raise _unreadable(path, error) from error


def open_file(path: Path | str) -> BinaryIO:
    """To be read, unpacked where its name ends in .gz. Raises: InvalidRequest where `path` is no regular file."""
    try:
        if os.fspath(path).endswith(".gz"):
            open_regular(path).close()
            return cast(BinaryIO, gzip.open(path))
        return open_regular(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def check_example(what: object, shape: tuple[int, ...], item_bytes: int) -> None:
    """`shape`: of one example. Raises: InvalidRequest where it takes more than LARGEST_EXAMPLE."""
    size = math.prod(shape) * item_bytes
    if size > LARGEST_EXAMPLE:
        text = f"one example of {shape} has {size:,} bytes"
        raise refusal(what, text, f"at most {LARGEST_EXAMPLE:,} are read: make the examples smaller")


def check_member(member: zipfile.ZipInfo, begin: int, shape: tuple[int, ...], item_bytes: int) -> None:
    """That an array in an archive has the size of its header's shape, before anything of it is unpacked.

    `begin`: of its values, behind the header. Raises: ValueError.
    """
    announced = begin + math.prod(shape) * item_bytes
    if announced != member.file_size:
        text = f"{member.filename} has {member.file_size:,} bytes, its header announces {announced:,}"
        raise ValueError(text)


def text_lines(path: Path, stream: TextIO) -> Iterator[str]:
    """The lines of `stream`. Raises: InvalidRequest at a line that is too long to be one of a table."""
    while line := stream.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            text = f"it has a line of more than {LONGEST_LINE:,} characters"
            raise refusal(path, text, "write one line for each image")
        yield line


def _unreadable(path: Path | str, error: OSError) -> Exception:
    return refusal(path, f"it cannot be read ({error.strerror})", "replace or remove it")
