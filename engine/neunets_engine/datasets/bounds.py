"""What the process that reads a user's data may take, and which file it reads."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from neunets.limits import free_bytes
from neunets_engine.datasets.source import readable

__all__ = ["NOTES", "PATIENCE_S", "Bounds", "limit_memory", "note_files", "noted"]

NOTES: Final = "notes"  # folder of the names
# Python with NumPy and pyarrow takes a quarter of it before it has read anything.
LEAST_BYTES: Final = 1 << 30
PATIENCE_S: Final = 300.0
# The kernel's scale goes up to 1000: where memory runs out, reading ends before the engine does.
OOM_SCORE: Final = 800
LONGEST_NOTE: Final = 4096


@dataclass(frozen=True, slots=True)
class Bounds:
    """`memory_bytes`: of the process that reads, and as much again of all that decode images for it together.

    `patience_s`: without any progress.
    """

    memory_bytes: int = 0  # a third of what is free on this machine, or in this container
    patience_s: float = PATIENCE_S

    def measured(self) -> Bounds:
        """With a number of bytes."""
        return replace(self, memory_bytes=self.memory_bytes or max(LEAST_BYTES, free_bytes() // 3))

    def decoders(self, cores: int) -> int:
        """How many processes may decode, each within `LEAST_BYTES` or more."""
        return max(1, min(cores, self.memory_bytes // LEAST_BYTES))

    def decoder_bytes(self, cores: int) -> int:
        return self.memory_bytes // self.decoders(cores)


def limit_memory(memory_bytes: int) -> None:
    """Bound the memory of this process: beyond it, MemoryError. Files that are mapped to be read do not count."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))


def note_files(folder: Path) -> None:
    """From now on, keep the name of the file that this process has opened last in a file of `folder`."""
    descriptor = os.open(folder / str(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def note(event: str, arguments: tuple[object, ...]) -> None:
        # These flags are those of `open_regular`; Python's own files have others.
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_NONBLOCK:
            name = arguments[0]
            if isinstance(name, str | bytes | os.PathLike):
                os.pwrite(descriptor, os.fsencode(name)[:LONGEST_NOTE].ljust(LONGEST_NOTE, b"\0"), 0)

    sys.addaudithook(note)


def noted(folder: Path) -> list[str]:
    """The files that were read last, by each process that has noted one."""
    names = []
    for file in sorted(folder.iterdir(), key=lambda file: -file.stat().st_mtime_ns):
        name = readable(os.fsdecode(file.read_bytes().rstrip(b"\0")))
        if name and name not in names:
            names.append(name)
    return names
