"""Which engine works on a folder: one at a time, and another once that one stands still."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import psutil

from neunets.errors import NotReady

__all__ = ["FENCED", "lock_home", "step_down"]

LOG: Final = logging.getLogger(__name__)
# An engine whose last sign of life is older than this has stopped; the store's epoch fences it off, should it wake.
TENURE_S: Final = 10.0
SIGN_EVERY_S: Final = 2.0
CONFIRM_S: Final = 2 * SIGN_EVERY_S
KILL_S: Final = 10.0  # A killed process is gone within this, unless it waits for a disk.
FENCED: Final = 3  # The exit code of a process that finds itself fenced off.


@contextmanager
def lock_home(home: Path) -> Iterator[None]:
    """Hold the lock of `home` and give signs of life until the end of the block.

    The kernel frees the lock with the process, however that ends. Where an engine holds it without a sign of life,
    this one kills that process and takes its place. Raises: NotReady while another engine works there.
    """
    with _locked(home / "engine.lock") as lock:
        signs = _Signs(lock)
        signs.start()
        try:
            yield
        finally:
            signs.stop()


def step_down() -> None:
    """End this process at once: its sockets' paths are another engine's now, and its children end with it."""
    LOG.error("another engine has taken over: this one ends")
    os._exit(FENCED)


class _Signs:
    """Signs of life: the lock file's time. They come from a thread, since the event loop may be busy for long."""

    def __init__(self, lock: IO[str]) -> None:
        self._lock = lock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="signs-of-life", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(SIGN_EVERY_S):
            os.utime(self._lock.fileno())  # by descriptor: the path may be the file of a newer engine


@contextmanager
def _locked(path: Path) -> Iterator[IO[str]]:
    while True:
        with path.open("a+") as lock:
            if not _try_lock(lock):
                if not _stands_still(lock):
                    raise NotReady(f"another engine works on {path.parent}: stop it, or choose another --home")
                _evict(path, lock)
                continue
            if not _is_file_of(path, lock):  # it was replaced between opening and locking
                continue
            lock.truncate(0)
            lock.write(_identity(os.getpid()))
            lock.flush()
            yield lock
            return


def _evict(path: Path, lock: IO[str]) -> None:
    """Kill the engine that stands still where this process sees it: it may hold up the store within a write, which its
    end undoes. One that is out of sight, in another container for example, keeps the lock of a file that is replaced
    here; the store's epoch fences it off when it wakes.
    """
    LOG.warning("the engine before this one stands still: this one takes over")
    lock.seek(0)
    identity = lock.read()
    with contextlib.suppress(ValueError, IndexError, OSError, psutil.Error):
        process = psutil.Process(int(identity.split()[0]))
        if identity == _identity(process.pid):
            process.kill()
            process.wait(KILL_S)
    if not _try_lock(lock):
        with contextlib.suppress(FileNotFoundError):
            if _is_file_of(path, lock):
                path.unlink()


def _stands_still(lock: IO[str]) -> bool:
    """Whether the last sign of life is old, and no other one comes: clocks are set, and machines sleep."""
    signed = os.fstat(lock.fileno()).st_mtime
    if 0.0 <= time.time() - signed < TENURE_S:
        return False
    time.sleep(CONFIRM_S)
    return os.fstat(lock.fileno()).st_mtime == signed


def _identity(pid: int) -> str:
    """A process, distinct from a later one with the same id and from one of another machine or container.

    Raises: OSError where there is no such process.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    namespace = os.readlink("/proc/self/ns/pid")
    started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]  # in clock ticks since the boot
    return f"{pid} {started} {namespace} {boot}"


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise NotReady(f"{lock.name} cannot be locked ({error.strerror}): choose a --home on a local disk") from error
    return True


def _is_file_of(path: Path, lock: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False
