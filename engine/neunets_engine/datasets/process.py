"""The process in which untrusted files are read: bounded, and ended together with all that it has started."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from neunets.errors import InvalidRequest, NeunetsError, NotReady
from neunets.service.v1 import service_pb2
from neunets_engine.datasets.archive import as_in_archive
from neunets_engine.datasets.bounds import NOTES, Bounds, noted
from neunets_engine.datasets.frames import Kind, error_of, receive
from neunets_engine.datasets.register import Request
from neunets_engine.datasets.source import Progress, Tell
from neunets_engine.datasets.tasks import Register, Sheet, Task
from neunets_engine.disk import keeping

__all__ = ["Reader"]

LOG: Final = logging.getLogger(__name__)
SCRATCH: Final = "part-"
MOST_AT_ONCE: Final = 4
# Between the end of its pipe and its own.
LAST_S: Final = 5.0
ENDING: Final = "the engine ends: read these data again with the next one"
# There is no PATH: nothing that reads a file has to find another program.
ALLOWED: Final = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "PYTHONPATH", "TMPDIR", "VIRTUAL_ENV")
SET: Final = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # the others reserve a gigabyte, which counts as taken
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class Reader:
    """Owns the processes that read; one engine has one, which is alone in `root`."""

    def __init__(self, root: Path, bounds: Bounds) -> None:
        self._root = root
        self._bounds = bounds
        self._reading: set[asyncio.Task[bytes]] = set()
        self._turn = asyncio.Semaphore(MOST_AT_ONCE)
        self._is_closed = False
        for left in root.glob(f"{SCRATCH}*"):  # by an engine that was killed
            shutil.rmtree(left, ignore_errors=True)

    async def register(self, request: Request, tell: Tell) -> service_pb2.Dataset:
        """Raises: as `datasets.register`; InvalidRequest beyond the bounds."""
        return service_pb2.Dataset.FromString(await self._run(Register(request, request.source, self._root), tell))

    async def sheet(self, dataset: service_pb2.Dataset, images_a_class: int) -> bytes:
        """A PNG."""
        what = Sheet(dataset.source, self._root / dataset.sha256, tuple(dataset.classes), images_a_class)
        return await self._run(what, lambda _: None)

    async def close(self) -> None:
        """Ends all readings at once: their callers get NotReady."""
        self._is_closed = True
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)

    async def _run(self, what: Register | Sheet, tell: Tell) -> bytes:
        if self._is_closed:
            raise NotReady(ENDING)
        reading = asyncio.create_task(self._bounded(what, tell))
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        try:
            return await reading
        except asyncio.CancelledError:
            if self._is_closed:
                raise NotReady(ENDING) from None
            reading.cancel()  # nobody waits for it any more
            with contextlib.suppress(asyncio.CancelledError, NeunetsError):
                await reading
            raise

    async def _bounded(self, what: Register | Sheet, tell: Tell) -> bytes:
        async with self._turn, _scratch(self._root) as folder:
            task = Task(what, self._bounds.measured())
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "neunets_engine.datasets.child", str(folder)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={name: os.environ[name] for name in ALLOWED if name in os.environ} | SET,
                start_new_session=True,
            )
            try:
                return await _follow(process, task, tell)
            except TimeoutError:
                found = f"nothing was read for {task.bounds.patience_s:g} s"
                raise _refusal(task, folder, found, "look after the disk or the network it lies on") from None
            except (asyncio.IncompleteReadError, ConnectionError, ValueError):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), LAST_S)
                found = f"the process that read it {_how_ended(process.returncode)}"
                raise _refusal(task, folder, found, "replace or remove it, or free memory") from None
            finally:
                await _end(process)


async def _follow(process: asyncio.subprocess.Process, task: Task, tell: Tell) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(pickle.dumps(task))
    process.stdin.close()
    while True:
        kind, content = await asyncio.wait_for(receive(process.stdout), task.bounds.patience_s)
        if kind is Kind.RESULT:
            return content
        if kind is Kind.ERROR:
            error, trace = error_of(content)
            if trace:
                LOG.error("reading data raised:\n%s", trace)
            raise error
        now = service_pb2.ReadProgress.FromString(content)
        tell(Progress(now.stage, now.done, now.total))


async def _end(process: asyncio.subprocess.Process) -> None:
    """With all that it has started, which is of its group."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _how_ended(code: int | None) -> str:
    if code is None:
        return "spoke nonsense"
    return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"


def _refusal(task: Task, folder: Path, found: str, fix: str) -> InvalidRequest:
    names = [as_in_archive(name, folder, task.what.source) for name in noted(folder / NOTES)] or [task.what.source]
    return InvalidRequest("source", f"{' or '.join(names[:4])}: {found}; {fix}")


@asynccontextmanager
async def _scratch(root: Path) -> AsyncIterator[Path]:
    with keeping(root):
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = Path(tempfile.mkdtemp(dir=root, prefix=SCRATCH))
        (folder / NOTES).mkdir()
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
