"""A plugin as a child process: launch, registration, and what it prints."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import grpc

from neunets.errors import PluginUnavailable
from neunets.messages import CHANNEL_LIMITS
from neunets.sockets import channel_options
from neunets_engine.kept import KeptProcess, how_ended
from neunets_engine.output import Log, Output
from neunets_engine.plugins.catalog import Manifest
from neunets_engine.plugins.host import PluginHost
from neunets_engine.plugins.plugin import Connected, Ending

__all__ = ["ChildProcess", "sweep_sockets"]

START_DEADLINE_S: Final = 60.0
LAST_WORDS_S: Final = 1.0
# A process whose connection was lost gets this long, until it is known how it has ended.
END_KNOWN_S: Final = 2.0
LAST_LINES, LINE_LETTERS = 3, 120
TOLD_LINES: Final = 5
# What a child inherits; everything else of the engine's environment stays with the engine.
ALLOWED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")
# The kernel's bound on a unix socket's path (sun_path), and the part of it for the socket's name.
PATH_BYTES, SOCKET_NAME_BYTES = 107, 24
SOCKETS: Final = "s-"


class ChildProcess:
    """Owns the process of one synthesizer; the `Link` to it."""

    def __init__(
        self, manifest: Manifest, host: PluginHost, folder: Path, endpoint: str, line: Callable[[str], None]
    ) -> None:
        """`folder`: for its log; sockets are beside it. `endpoint`: of the host.

        `line(text)` gets what the plugin prints.
        """
        self.manifest = manifest
        self._host = host
        self._folder = folder
        self._endpoint = endpoint
        self._line = line
        self._process: KeptProcess | None = None
        self._output: Output | None = None

    @property
    def command(self) -> tuple[str, ...]:
        return self.manifest.command

    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def is_up(self) -> bool:
        return self._process is not None and self._process.is_up()

    def has_lapsed(self) -> bool:
        return self._host.has_lapsed(self.manifest.name)

    async def connect(self) -> Connected:
        """Raises: PluginFault where a pinned file is another."""
        self.manifest.check_pins()
        for folder in (self._folder.parent, self._folder):  # `parents` would make the first one open to others
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        token, registered = self._host.issue(self.manifest.name)
        process = self._start(token)
        ended = asyncio.create_task(process.wait())
        try:
            first: set[asyncio.Future[Any]] = {ended, registered}
            await asyncio.wait(first, timeout=START_DEADLINE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            self._host.revoke(self.manifest.name)
        if not registered.done():
            is_silent = process.is_up()
            await self.cut()
            raise PluginUnavailable(f"{self.manifest.name} {self._not_registered(is_silent)}")
        registration = registered.result()
        options = channel_options(registration.endpoint, ("grpc.enable_retries", 0), *CHANNEL_LIMITS)
        channel = grpc.aio.insecure_channel(registration.endpoint, options=options)
        return Connected(channel, registration.description)

    def _start(self, token: str) -> KeptProcess:
        sockets = _socket_folder(self._folder.parent)
        environment = {name: os.environ[name] for name in ALLOWED if name in os.environ} | {
            "NEUNETS_HOST": self._endpoint,
            "NEUNETS_LAUNCH_TOKEN": token,
            "NEUNETS_PROTOCOLS": "1",
            "NEUNETS_SOCKET_DIR": str(sockets),
            "NEUNETS_PARENT_DEATH": "1",
            "PYTHONUNBUFFERED": "1",
        }
        output = self._output = Output(Log(self._folder / f"{self.manifest.name}.log"), self._line)
        try:
            self._process = KeptProcess(
                self.manifest.command, environment, output.descriptor, self.manifest.directory, sockets
            )
        finally:
            output.started()
        return self._process

    async def until_ended(self) -> None:
        """Wait a moment for the end of a process whose connection was lost, and for its last words."""
        if self._process is not None:
            await asyncio.wait([asyncio.ensure_future(self._process.wait())], timeout=END_KNOWN_S)
            if self._output is not None and not self._process.is_up():
                await self._output.until_over(LAST_WORDS_S)

    def ending(self) -> Ending | None:
        process = self._process
        if process is None or process.is_up() or process.code is None:
            return None
        words = f"cannot be started: {process.error}" if process.error else how_ended(process.code)
        output = self._output.lines(TOLD_LINES) if self._output is not None else ()
        return Ending(process.code, f"{words}{self._last_lines()}", output)

    def endpoint(self) -> str:
        return ""

    def is_leaving(self) -> bool:
        return self._host.is_leaving(self.manifest.name)

    async def cut(self) -> None:
        if self._process is not None:
            await self._process.end()
        self._host.forget(self.manifest.name)
        if self._output is not None:
            await self._output.close(LAST_WORDS_S)

    def _not_registered(self, is_silent: bool) -> str:
        if not is_silent:
            ending = self.ending()
            return ending.words if ending is not None else f"was ended before it had registered{self._last_lines()}"
        fix = "a plugin calls PluginHost.Register at NEUNETS_HOST with NEUNETS_LAUNCH_TOKEN"
        return f"has not registered within {START_DEADLINE_S:g} s: {fix}{self._last_lines()}"

    def _last_lines(self) -> str:
        lines = self._output.lines(LAST_LINES) if self._output is not None else ()
        return (
            f"; its last output: {' | '.join(line[:LINE_LETTERS] for line in lines)}"
            if lines
            else "; it has printed nothing"
        )


def sweep_sockets(base: Path) -> None:
    """Remove the socket folders in `base` that killed keepers have left; no plugin may be up."""
    for left in base.glob(f"{SOCKETS}*"):
        shutil.rmtree(left, ignore_errors=True)


def _socket_folder(base: Path) -> Path:
    """A new one of a single process, in `base` or, where that path is too long, in a folder for such things."""
    places = [str(base), os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"]
    room = PATH_BYTES - SOCKET_NAME_BYTES - len(f"//{SOCKETS}12345678")
    fitting = (place for place in places if place and len(os.fsencode(place)) <= room and os.access(place, os.W_OK))
    return Path(tempfile.mkdtemp(prefix=SOCKETS, dir=next(fitting, str(base))))
