"""A process between the engine and a child of it: when either ends, so does everything that the child has started.

The engine runs it as a script, `python -I -S keeper.py CONTROL FOLDER COMMAND...`, without the environment's packages.
CONTROL is the number of a socket: "pid N", "exit STATUS" (of `waitpid`) and "error TEXT" are written to it, a line
each; once the engine's end of it is shut, which a kill -9 of the engine does as well, all that runs is killed.
FOLDER is removed at the end, with the files in it; empty: none.

A subreaper (prctl(2)) becomes the parent of all orphans below it, so that no child escapes, whatever session, group or
environment it has.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
from collections.abc import Iterator
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
NOT_FOUND: Final = 127
# Python ignores them, and exec would hand that on.
RESTORED: Final = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)


def main() -> int:
    control, folder, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    os.set_inheritable(control, False)
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    signals, written = os.pipe()
    for descriptor in (signals, written):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = _start(command, control, libc)
    _tell(control, f"pid {child}")
    _watch(child, control, signals)
    _end_all()
    if folder:
        _remove(folder)
    return 0


def _start(command: list[str], control: int, libc: ctypes.CDLL) -> int:
    keeper = os.getpid()
    child = os.fork()
    if child:
        return child
    signal.set_wakeup_fd(-1)
    for number in RESTORED:
        signal.signal(number, signal.SIG_DFL)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == keeper:
        try:
            os.execvp(command[0], command)
        except OSError as error:
            _tell(control, f"error {command[0]}: {error.strerror}")
    os._exit(NOT_FOUND)


def _watch(child: int, control: int, signals: int) -> None:
    """Until the child has ended, or is to end."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(signals, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        told = os.read(signals, 4096) if signals in ready else b""
        for ended, status in _reaped():
            if ended == child:
                _tell(control, f"exit {status}")
                return
        if control in ready or signal.SIGTERM in told:
            return


def _reaped() -> Iterator[tuple[int, int]]:
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            yield found


def _end_all() -> None:
    """Orphans come to this process as their parents end, until there are none."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for process in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
                if int(stat.read().rpartition(b")")[2].split()[1]) == os.getpid():
                    yield int(name)


def _remove(folder: str) -> None:
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)


def _tell(control: int, text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(control, f"{text}\n".encode())


if __name__ == "__main__":
    raise SystemExit(main())
