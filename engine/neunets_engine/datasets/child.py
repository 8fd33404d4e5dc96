"""`python -P -m neunets_engine.datasets.child FOLDER`: reads a user's data for an engine, within bounds.

A task comes on stdin, pickled by the engine; what is found goes to stdout in frames.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from pathlib import Path
from typing import BinaryIO, Final

from neunets.errors import InvalidRequest
from neunets.process import die_with_parent
from neunets.service.v1 import service_pb2
from neunets_engine.datasets.archive import as_in_archive
from neunets_engine.datasets.bounds import NOTES, limit_memory, note_files, noted
from neunets_engine.datasets.frames import Kind, send, told
from neunets_engine.datasets.source import Progress
from neunets_engine.datasets.tasks import Sheet, Task

PROGRESS_EVERY_S: Final = 0.2


def main() -> int:
    die_with_parent()
    # Whatever a library prints is not taken for a frame.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    task: Task = pickle.load(sys.stdin.buffer)
    folder = Path(sys.argv[1])
    limit_memory(task.bounds.memory_bytes)
    note_files(folder / NOTES)
    try:
        send(out, Kind.RESULT, _do(task, folder, _Teller(out)))
    except MemoryError:
        send(out, Kind.ERROR, told(_too_large(task, folder)))
    except Exception as error:  # the outermost loop of this process: the engine raises it again
        send(out, Kind.ERROR, told(error))
    return 0


class _Teller:
    """Progress, at most a few times a second."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._last = 0.0

    def tell(self, now: Progress) -> None:
        if time.monotonic() - self._last < PROGRESS_EVERY_S:
            return
        message = service_pb2.ReadProgress(stage=now.stage, done=now.done, total=now.total)
        send(self._out, Kind.PROGRESS, message.SerializeToString())
        self._last = time.monotonic()


def _do(task: Task, folder: Path, teller: _Teller) -> bytes:
    if isinstance(task.what, Sheet):
        from neunets_engine.datasets.preview import contact_sheet  # each task imports what it needs

        return contact_sheet(task.what.folder, task.what.classes, task.what.images_a_class)
    from neunets_engine.datasets.register import Request, register

    request = task.what.request
    assert isinstance(request, Request)
    return register(request, task.what.root, teller.tell, folder, task.bounds).SerializeToString()


def _too_large(task: Task, folder: Path) -> InvalidRequest:
    name = as_in_archive(next(iter(noted(folder / NOTES)), task.what.source), folder, task.what.source)
    most = f"{task.bounds.memory_bytes / 1e9:.1f} GB of memory"
    fix = "make it smaller, free memory, or let it take more with NEUNETS_READ_MEMORY=GB"
    return InvalidRequest("source", f"{name}: reading it takes more than {most}; {fix}")


if __name__ == "__main__":
    raise SystemExit(main())
