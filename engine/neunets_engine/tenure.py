"""Which engine works on a folder: one at a time, and another once that one stands still."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from neunets.errors import NotReady

__all__ = ["Tenure", "step_down", "tenure"]

LOG: Final = logging.getLogger(__name__)
# An engine whose sign of life is older has stopped; the store's epoch fences it off, should it wake.
TENURE_S: Final = 10.0
SIGN_EVERY_S: Final = 2.0
# Of the process that finds itself fenced off.
FENCED: Final = 3


class Tenure:
    """An engine's claim to its folder: a file with its process's id, whose time is its last sign of life."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def age_s(self) -> float:
        return time.time() - self._path.stat().st_mtime

    def sign(self) -> None:
        os.utime(self._path)

    def begin(self) -> None:
        self._path.write_text(str(os.getpid()))

    def take_over(self) -> None:
        """Kill the engine that stands still, where this process sees it: it may hold up the store within a write, which
        that undoes. One in another container, say, is fenced off by the store when it wakes.
        """
        LOG.warning("the engine before this one stands still: this one takes over")
        with contextlib.suppress(ValueError, psutil.Error):
            process = psutil.Process(int(self._path.read_text()))
            if str(self._path.parent) in process.cmdline():
                process.kill()

    async def keep(self) -> None:
        """Give signs of life until cancelled."""
        while True:
            self.sign()
            await asyncio.sleep(SIGN_EVERY_S)


@contextmanager
def tenure(home: Path) -> Iterator[Tenure]:
    """Holds the folder's lock, which the kernel frees with the process, however that ends; or takes over from an engine
    that holds it, but gives no sign of life. Raises: NotReady while another engine works there.
    """
    path = home / "engine.lock"
    with path.open("a") as lock:
        claim = Tenure(path)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if claim.age_s() < TENURE_S:
                text = f"another engine works on {home}: stop it, or choose another --home"
                raise NotReady(text) from None
            claim.take_over()
        claim.begin()
        yield claim


def step_down() -> None:
    """End this process at once: its sockets' paths are another engine's now, and its children end with it."""
    LOG.error("another engine has taken over: this one ends")
    os._exit(FENCED)
