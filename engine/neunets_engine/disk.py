"""Full disks: an error that pauses runs and says what to do, and the room in which the pause is written."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from neunets.errors import NotReady

__all__ = ["DiskFull", "Reserve", "disk_full", "free_bytes", "is_full", "keeping"]

CODES: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# With less than this, what a write has met is the end of the disk, whatever it is called.
LEAST_FREE_BYTES: Final = 2 << 20


class DiskFull(NotReady):
    """There was no room for a write: runs are paused until somebody has made some."""


def disk_full(folder: Path | str, needed: str = "") -> DiskFull:
    """For the disk of `folder`. `needed`: what was to be written."""
    free = f"{free_bytes(folder) / 1e6:.1f} MB are free" + (f", {needed}" if needed else "")
    return DiskFull(f"the disk of {folder} is full ({free}): make room there, then go on with `neunets resume RUN`")


def is_full(folder: Path | str, error: Exception) -> bool:
    """Whether a write below `folder` failed for want of room."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in CODES
    # NumPy and LMDB tell a short write in words of their own, without a number.
    return any(os.strerror(code) in str(error) for code in CODES) or free_bytes(folder) < LEAST_FREE_BYTES


@contextmanager
def keeping(folder: Path | str) -> Iterator[None]:
    """For writes below `folder`. Raises: DiskFull in place of the system's error."""
    try:
        yield
    except OSError as error:
        if not is_full(folder, error):
            raise
        raise disk_full(folder) from error


class Reserve:
    """Owns a file that only takes room, which is given up when there is no other."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._held = False

    def take(self) -> None:
        """Hold the room, again where it was given up; does nothing while the disk is almost full."""
        if self._held or free_bytes(self._path.parent) < 2 * self._size + LEAST_FREE_BYTES:
            return
        with contextlib.suppress(OSError):
            # No zeros: file systems that compress would hold no room for them.
            self._path.write_bytes(os.urandom(self._size))
            self._held = True

    def give_up(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._held = False


def free_bytes(folder: Path | str) -> int:
    """For this user; of an address that is no folder here, as much as could be."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 1 << 62
