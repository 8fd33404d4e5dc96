"""A plugin as a child process: launch, registration, and what it prints."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import grpc

from neunets.errors import PluginUnavailable
from neunets_engine.plugins.catalog import Manifest
from neunets_engine.plugins.host import PluginHost
from neunets_engine.plugins.plugin import Connected

__all__ = ["ChildProcess"]

START_DEADLINE_S: Final = 60.0
KEPT_LINES: Final = 20
LAST_WORDS_S: Final = 1.0
# What a child inherits; everything else of the engine's environment stays with the engine.
ALLOWED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")


class ChildProcess:
    """Owns the process of one synthesizer; the `Link` to it."""

    def __init__(
        self, manifest: Manifest, host: PluginHost, folder: Path, endpoint: str, line: Callable[[str], None]
    ) -> None:
        """`folder`: for its socket and its log; `endpoint`: of the host; `line(text)` gets what the plugin prints."""
        self.manifest = manifest
        self._host = host
        self._folder = folder
        self._endpoint = endpoint
        self._line = line
        self._process: asyncio.subprocess.Process | None = None
        self._relaying: asyncio.Task[None] | None = None
        self._lines: list[str] = []

    @property
    def command(self) -> tuple[str, ...]:
        return self.manifest.command

    def pid(self) -> int | None:
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if alive and self._process is not None else None

    def is_up(self) -> bool:
        return self.pid() is not None

    def has_lapsed(self) -> bool:
        return self._host.has_lapsed(self.manifest.name)

    async def connect(self) -> Connected:
        """Raises: PluginFault where a pinned file is another."""
        self.manifest.check_pins()
        for folder in (self._folder.parent, self._folder):  # `parents` would make the first one open to others
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        token, registered = self._host.issue(self.manifest.name)
        environment = {name: os.environ[name] for name in ALLOWED if name in os.environ} | {
            "NEUNETS_HOST": self._endpoint,
            "NEUNETS_LAUNCH_TOKEN": token,
            "NEUNETS_PROTOCOLS": "1",
            "NEUNETS_SOCKET_DIR": str(self._folder.parent),  # of all plugins, since a socket's path has to be short
            "NEUNETS_PARENT_DEATH": "1",
            "PYTHONUNBUFFERED": "1",
        }
        process = await asyncio.create_subprocess_exec(
            *self.manifest.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            cwd=self.manifest.directory,
        )
        self._process = process
        self._relaying = asyncio.create_task(self._relay(process))
        ended = asyncio.create_task(process.wait())
        try:
            first: set[asyncio.Future[Any]] = {ended, registered}
            await asyncio.wait(first, timeout=START_DEADLINE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            self._host.revoke(self.manifest.name)
        if not registered.done():
            self._kill()
            what = f"ended with code {process.returncode}" if process.returncode is not None else "did not register"
            raise PluginUnavailable(f"{self.manifest.name} {what}; last: {' | '.join(self._lines[-3:])}")
        registration = registered.result()
        channel = grpc.aio.insecure_channel(registration.endpoint, options=[("grpc.enable_retries", 0)])
        return Connected(channel, registration.description)

    async def cut(self) -> None:
        self._kill()
        relaying, self._relaying = self._relaying, None  # others may cut, and connect, meanwhile
        if self._process is not None:
            await self._process.wait()
        if relaying is not None:  # which ends with the pipe, unless a grandchild holds that
            try:
                await asyncio.wait([relaying], timeout=LAST_WORDS_S)
            finally:
                relaying.cancel()

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _relay(self, process: asyncio.subprocess.Process) -> None:
        """Keep what the plugin prints in its log file, and hand each line on."""
        assert process.stdout is not None
        with (self._folder / f"{self.manifest.name}.log").open("ab") as log:
            while True:
                try:
                    raw = await process.stdout.readline()
                except ValueError:  # a line longer than the reader's buffer
                    continue
                if not raw:
                    return
                log.write(raw)
                log.flush()
                text = raw.decode(errors="replace").rstrip()
                self._lines = [*self._lines[1 - KEPT_LINES :], text]
                self._line(text)
