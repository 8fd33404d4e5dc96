"""Who uses the embedded engine of a folder: commands share a lock, which the kernel frees with each of them."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO, Final

__all__ = ["Users"]

FILE: Final = "users.lock"
# An engine that nobody uses any more holds the lock alone until it has ended.
LONGEST_WAIT_S: Final = 20.0
POLL_S: Final = 0.05


class Users:
    """One process's part in the lock of `home`. Raises in all methods: OSError where the folder cannot be written."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE
        self._lock: IO[bytes] | None = None

    @property
    def has_joined(self) -> bool:
        return self._lock is not None

    def join(self) -> None:
        """Use the engine of the folder; waits for one that ends, for 20 s at most."""
        latest = time.monotonic() + LONGEST_WAIT_S
        self._lock = self._opened()
        while not _try(self._lock, fcntl.LOCK_SH) and time.monotonic() < latest:
            time.sleep(POLL_S)

    def are_none(self) -> bool:
        """Whether nobody else uses the engine; from then on nobody joins until this process ends, or leaves."""
        self._lock = self._lock or self._opened()
        return _try(self._lock, fcntl.LOCK_EX)

    def leave(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _opened(self) -> IO[bytes]:
        return os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb")


def _try(lock: IO[bytes], mode: int) -> bool:
    try:
        fcntl.flock(lock, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
