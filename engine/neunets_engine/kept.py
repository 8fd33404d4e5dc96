"""Child processes of the engine that end with it, together with everything that they have started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["KeptProcess", "how_ended", "signal_name"]

KEEPER: Final = Path(__file__).with_name("keeper.py")
# In the environment of whatever a child starts, for the case that its keeper is killed.
MARK: Final = "NEUNETS_KEPT"
# A keeper that takes longer to kill all is killed itself.
END_S: Final = 2.0


class KeptProcess:
    """A command under a keeper of its own (`keeper.py`)."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        output: int,
        directory: Path | None = None,
        folder: Path | None = None,
        errors: int | None = None,
    ) -> None:
        """`output`: a descriptor for what it prints; `errors`: for stderr, where that is another.

        `folder` is removed once all has ended. Raises: OSError if no process can be started; `error` tells where the
        command itself cannot be.
        """
        self._mark = secrets.token_hex(8)
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)
        try:
            with theirs:
                self._keeper = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(KEEPER), str(theirs.fileno()), str(folder or ""), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output if errors is None else errors,
                    env={**environment, MARK: self._mark},
                    cwd=directory,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
        except OSError:
            self._control.close()
            raise
        self._ended, self._gone = asyncio.Event(), asyncio.Event()
        self._pid: int | None = None
        self._told = b""
        self.code: int | None = None  # a signal's is negative; None: it runs, or was killed by `kill`
        self.error = ""
        self._descriptor = os.pidfd_open(self._keeper.pid)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._control, self._read)
        loop.add_reader(self._descriptor, self._keeper_ended)

    @property
    def pid(self) -> int | None:
        """The id of the command's own process, while it runs."""
        return None if self._ended.is_set() else self._pid or self._keeper.pid

    def is_up(self) -> bool:
        return not self._ended.is_set()

    async def wait(self) -> int:
        """Until the command has ended; its code."""
        await self._ended.wait()
        return self.code if self.code is not None else -signal.SIGKILL

    def kill(self) -> None:
        """Kill the command and everything that it has started."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    async def end(self) -> None:
        """Kill it and wait until all is gone."""
        self.kill()
        try:
            await asyncio.wait_for(self._gone.wait(), END_S)
        except TimeoutError:
            self._keeper.kill()
            await self._gone.wait()
        if self._keeper.returncode:
            await asyncio.to_thread(_kill_marked, self._mark)

    def _read(self) -> None:
        try:
            told = self._control.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            told = b""
        if not told:
            asyncio.get_running_loop().remove_reader(self._control)
            return
        *lines, self._told = (self._told + told).split(b"\n")
        for line in lines:
            what, _, value = line.decode(errors="replace").partition(" ")
            if what == "pid":
                self._pid = int(value)
            elif what == "error":
                self.error = value
            elif what == "exit":
                self.code = os.waitstatus_to_exitcode(int(value))
                self._ended.set()

    def _keeper_ended(self) -> None:
        self._read()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._descriptor)
        loop.remove_reader(self._control)
        os.close(self._descriptor)
        self._control.close()
        code = self._keeper.wait()
        if code and self.code is None:
            self.code = code
        self._ended.set()
        self._gone.set()


def how_ended(code: int) -> str:
    """A code of `KeptProcess` in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal_name(-code)}"


def signal_name(number: int) -> str:
    """ "SIGSEGV"; of a real-time signal its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _kill_marked(mark: str) -> None:
    """What a killed keeper has left, by its environment."""
    entry = f"{MARK}={mark}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                if entry in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
