"""One plugin as a child process: launch, registration, health, restart with back-off, quarantine."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from neunets.errors import PluginFault, PluginUnavailable
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.plugins.catalog import Manifest
from neunets_engine.plugins.host import PluginHost

__all__ = ["Plugin", "PluginState"]

LOG: Final = logging.getLogger(__name__)
START_DEADLINE_S: Final = 60.0
HEALTH_DEADLINE_S: Final = 2.0
HEALTH_EVERY_S: Final = 5.0
# gRPC's keepalive does not notice a stopped process; two missed checks do.
MISSED_CHECKS: Final = 2
FIRST_DELAY_S: Final = 0.2
LONGEST_DELAY_S: Final = 30.0
FAULTS: Final = 5
FAULT_WINDOW_S: Final = 600.0
# What a child inherits; everything else of the engine's environment stays with the engine.
ALLOWED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")
SERVICE: Final = synthesizer_pb2.DESCRIPTOR.services_by_name["Synthesizer"].full_name


class PluginState(Enum):
    """As `Synthesizers.List` shows it."""

    INSTALLED = "INSTALLED"
    READY = "READY"
    SUSPECT = "SUSPECT"
    DRAINING = "DRAINING"
    QUARANTINED = "QUARANTINED"


class Plugin:
    """Owns the process of one synthesizer and the channel to it; both are made again after a loss."""

    def __init__(
        self, manifest: Manifest, host: PluginHost, folder: Path, endpoint: str, line: Callable[[str], None]
    ) -> None:
        """`folder`: for its socket and its log; `endpoint`: of the host; `line(text)` gets what the plugin prints."""
        self.manifest = manifest
        self.state = PluginState.INSTALLED
        self.incarnation = 0  # grows with each start: what was open in an older one is not any more
        self.description: synthesizer_pb2.DescribeResponse | None = None
        self._host = host
        self._folder = folder
        self._endpoint = endpoint
        self._line = line
        self._channel: grpc.aio.Channel | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._starting = asyncio.Lock()
        self._faults: list[float] = []
        self._delay_s = 0.0
        self.calls_in_flight = 0
        self.is_draining = False  # it is given no new runs
        self.last_lines: list[str] = []

    @property
    def faults(self) -> int:
        return len(self._faults)

    def pid(self) -> int | None:
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if alive and self._process is not None else None

    async def channel(self) -> grpc.aio.Channel:
        """The channel to the running plugin, which is started where it is not.

        Raises: PluginFault if the plugin is quarantined, or a pinned file of its is another.
        """
        async with self._starting:
            while True:
                if self.state is PluginState.QUARANTINED:
                    raise PluginFault(self._blame())
                if self._channel is not None and self.pid() is not None:
                    return self._channel
                await self._drop()
                self.manifest.check_pins()
                if self._delay_s:
                    await asyncio.sleep(self._delay_s * random.uniform(0.5, 1.0))
                self._delay_s = min(max(2 * self._delay_s, FIRST_DELAY_S), LONGEST_DELAY_S)
                try:
                    await self._launch()
                except (PluginUnavailable, OSError) as error:
                    self.fault(str(error))

    def progressed(self) -> None:
        """A run goes on with what the plugin answered: earlier faults and delays are forgotten."""
        self._faults.clear()
        self._delay_s = 0.0

    def pardon(self) -> None:
        """Somebody wants to try again: out of quarantine."""
        self.progressed()
        if self.state is PluginState.QUARANTINED:
            self.state = PluginState.INSTALLED

    def fault(self, why: str) -> None:
        """Count a fault; five in ten minutes without progress put the plugin into quarantine."""
        now = time.monotonic()
        self._faults = [at for at in self._faults if now - at < FAULT_WINDOW_S] + [now]
        LOG.warning("plugin %s: %s", self.manifest.name, why)
        self.last_lines = [*self.last_lines[-19:], why]
        if len(self._faults) >= FAULTS:
            self.state = PluginState.QUARANTINED

    def kill(self) -> None:
        """End a process that hangs; the next call starts it again."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def end(self) -> None:
        """Kill the process and wait until it is gone."""
        process = self._process
        self.kill()
        if process is not None:
            await process.wait()

    async def stop(self) -> None:
        async with self._starting:
            await self._drop()
            if self.state is not PluginState.QUARANTINED:
                self.state = PluginState.INSTALLED

    def _blame(self) -> str:
        last = self.last_lines[-1] if self.last_lines else "no output"
        return f"synthesizer {self.manifest.name} failed {FAULTS} times and is in quarantine; last: {last}"

    async def _launch(self) -> None:
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
        self._tasks.append(asyncio.create_task(self._relay(process)))
        ended = asyncio.create_task(process.wait())
        try:
            first: set[asyncio.Future[Any]] = {ended, registered}
            await asyncio.wait(first, timeout=START_DEADLINE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            self._host.revoke(self.manifest.name)
        if not registered.done():
            self.kill()
            what = f"ended with code {process.returncode}" if process.returncode is not None else "did not register"
            raise PluginUnavailable(f"{self.manifest.name} {what}; last: {' | '.join(self.last_lines[-3:])}")
        registration = registered.result()
        self.description = registration.description
        self._channel = grpc.aio.insecure_channel(registration.endpoint, options=[("grpc.enable_retries", 0)])
        self.incarnation += 1
        self.state = PluginState.READY
        self._tasks.append(asyncio.create_task(self._watch_health(self._channel)))

    async def _drop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._channel is not None:
            await self._channel.close(None)
            self._channel = None
        self.kill()
        if self._process is not None:
            await self._process.wait()
            self._process = None

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
                self.last_lines = [*self.last_lines[-19:], text]
                self._line(text)

    async def _watch_health(self, channel: grpc.aio.Channel) -> None:
        stub = health_pb2_grpc.HealthStub(channel)
        missed = 0
        while True:
            await asyncio.sleep(HEALTH_EVERY_S)
            try:
                await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=HEALTH_DEADLINE_S)
                missed = missed + 1 if self._host.has_lapsed(self.manifest.name) else 0
            except grpc.aio.AioRpcError:
                missed += 1
            if missed >= MISSED_CHECKS and self.calls_in_flight == 0:
                self.state = PluginState.SUSPECT
                self.fault(f"{missed} health checks missed, or the lease has lapsed")
                self.kill()
                return
