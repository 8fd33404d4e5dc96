"""What a child process prints: read at a bounded rate, kept in a log of bounded size, handed on by lines."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["Log", "Output"]

# One log file has at most this size; the one before it is kept beside it, as NAME.1.
LOG_BYTES: Final = 4 << 20
READ_BYTES: Final = 64 << 10
# A child that prints faster waits for its pipe, so that the engine has time for others.
BYTES_A_SECOND, SHORTEST_PAUSE_S = 4 << 20, 0.005
# The bounds of a line that is handed on, and of the lines of one read.
LINE_BYTES, LINES_A_READ = 1024, 64
KEPT_LINES: Final = 20


class Log:
    """A file that holds the last 4 to 8 MiB. A full disk costs what was to be written, and nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            with self._path.open("ab", buffering=0) as file:
                file.write(data)
                is_full = file.tell() >= LOG_BYTES
            if is_full:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))


class Output:
    """Owns the pipe, whose other end is a child's `descriptor`."""

    def __init__(self, log: Log, line: Callable[[str], None]) -> None:
        """`line(text)` gets the lines, without control characters; of a flood only some."""
        self._log, self._line = log, line
        self._pipe, self.descriptor = os.pipe()
        os.set_blocking(self._pipe, False)
        self._begun = b""  # of a line whose end has not come
        self._last = deque[str](maxlen=KEPT_LINES)
        self._over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._paused: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._pipe, self._read)

    def started(self) -> None:
        """The child has its end of the pipe: this process needs it no more."""
        os.close(self.descriptor)

    def lines(self, count: int = KEPT_LINES) -> tuple[str, ...]:
        """The last ones, at most 20."""
        return tuple(self._last)[-count:]

    async def until_over(self, within_s: float) -> None:
        """Read what is still there, up to the pipe's end or for so long: a stranger may hold it."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), within_s)

    async def close(self, within_s: float) -> None:
        """Read as `until_over` does, then close the pipe."""
        await self.until_over(within_s)
        self._end()

    def _read(self) -> None:
        try:
            data = os.read(self._pipe, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._end()
            return
        self._log.write(data)
        self._split(data)
        self._loop.remove_reader(self._pipe)
        self._paused = self._loop.call_later(max(len(data) / BYTES_A_SECOND, SHORTEST_PAUSE_S), self._go_on)

    def _go_on(self) -> None:
        self._paused = None
        self._loop.add_reader(self._pipe, self._read)

    def _split(self, data: bytes) -> None:
        *whole, begun = (self._begun + data).split(b"\n")
        self._begun = begun[:LINE_BYTES]
        for line in whole[:LINES_A_READ]:
            self._line(_text(line))
        self._last.extend(_text(line) for line in whole[-KEPT_LINES:])

    def _end(self) -> None:
        if self._pipe < 0:
            return
        self._loop.remove_reader(self._pipe)
        if self._paused is not None:
            self._paused.cancel()
        os.close(self._pipe)
        self._pipe = -1
        if self._begun:
            self._split(b"\n")
        self._over.set()


def _text(line: bytes) -> str:
    text = line[:LINE_BYTES].decode(errors="replace").expandtabs().rstrip()
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
