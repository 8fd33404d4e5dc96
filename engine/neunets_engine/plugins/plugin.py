"""One plugin, wherever it runs: the channel to it, its health, restart with back-off, quarantine."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from neunets.errors import DeadlineExceeded, NotReady, PluginFault, PluginUnavailable
from neunets.status import rpc_error
from neunets.synthesizer.v1 import synthesizer_pb2, synthesizer_pb2_grpc
from neunets_engine.plugins.description import check_description, is_waiting

__all__ = [
    "PATIENCE_S",
    "Connected",
    "Ending",
    "Fault",
    "Latencies",
    "Link",
    "Plugin",
    "PluginState",
    "first_answer",
    "stub_of",
]

LOG: Final = logging.getLogger(__name__)
HEALTH_DEADLINE_S: Final = 2.0
HEALTH_EVERY_S: Final = 5.0
DESCRIBE_DEADLINE_S, READY_EVERY_S = 5.0, 0.2
# gRPC's keepalive does not notice a stopped process; two missed checks do.
MISSED_CHECKS: Final = 2
FIRST_DELAY_S: Final = 0.2
LONGEST_DELAY_S: Final = 30.0
FAULTS: Final = 5
TIMED_CALLS: Final = 1000
# A run waits so long for a plugin that others start, then it is paused.
PATIENCE_S: Final = 60.0
FAULT_WINDOW_S: Final = 600.0
SERVICE: Final = synthesizer_pb2.DESCRIPTOR.services_by_name["Synthesizer"].full_name


class PluginState(Enum):
    """As `Synthesizers.List` shows it."""

    INSTALLED = "INSTALLED"
    REMOTE = "REMOTE"
    READY = "READY"
    SUSPECT = "SUSPECT"
    DRAINING = "DRAINING"
    QUARANTINED = "QUARANTINED"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a plugin's process has ended by itself. `code`: a signal's is negative; `output`: its last lines."""

    code: int
    words: str
    output: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """What a plugin has done, or has not; `number`: of the faults since the engine began."""

    reason: str
    ending: Ending | None
    number: int


@dataclass(frozen=True, slots=True)
class Connected:
    """A plugin that has registered; the channel is its receiver's to close."""

    channel: grpc.aio.Channel
    description: synthesizer_pb2.DescribeResponse


class Link(Protocol):
    """The way to a plugin: a child process, or a process on another host."""

    @property
    def command(self) -> tuple[str, ...]:
        """What starts it; empty: somebody else does."""

    def pid(self) -> int | None:
        """Of a child process that runs."""

    def is_up(self) -> bool:
        """Whether what `connect` has returned last is still there, as far as one can tell without a call."""

    def has_lapsed(self) -> bool:
        """Whether it has not renewed its lease."""

    async def connect(self) -> Connected:
        """Raises: PluginUnavailable, OSError to be tried again; what else it raises, the run has to know."""

    async def until_ended(self) -> None:
        """Wait a moment for the end of a process whose connection was lost."""

    def ending(self) -> Ending | None:
        """How the process has ended by itself; None: it has not, or nobody here knows."""

    def endpoint(self) -> str:
        """gRPC target of a process that somebody else starts; empty: it is a child, or has not been there."""

    def is_leaving(self) -> bool:
        """Whether the plugin has said that it wants no new runs."""

    async def cut(self) -> None:
        """End what hangs; `connect` makes a new beginning."""


def stub_of(channel: grpc.aio.Channel) -> synthesizer_pb2_grpc.SynthesizerAsyncStub:
    """The asyncio stub is a name for type checkers only."""
    return cast("synthesizer_pb2_grpc.SynthesizerAsyncStub", synthesizer_pb2_grpc.SynthesizerStub(channel))


async def first_answer(channel: grpc.aio.Channel, name: str, where: str) -> synthesizer_pb2.DescribeResponse:
    """What a plugin that others start says of itself, once it answers `where` it is.

    Raises: NotReady where it does not within `PATIENCE_S`; what it answers else. Then the channel is closed.
    """
    try:
        request = synthesizer_pb2.DescribeRequest()
        return await stub_of(channel).Describe(request, timeout=PATIENCE_S, wait_for_ready=True)
    except grpc.aio.AioRpcError as raw:
        await channel.close(None)
        error = rpc_error(raw)
        if not isinstance(error, PluginUnavailable | DeadlineExceeded | NotReady):
            raise error from raw
        text = f"synthesizer {name} does not answer {where}: start it"
        raise NotReady(text) from raw
    except asyncio.CancelledError:
        await channel.close(None)
        raise


class Latencies:
    """Of one method's calls that were answered."""

    def __init__(self) -> None:
        self.calls = 0
        self._seconds: deque[float] = deque(maxlen=TIMED_CALLS)

    def add(self, seconds: float) -> None:
        self.calls += 1
        self._seconds.append(seconds)

    def quantile(self, fraction: float) -> float:
        """Seconds, of the last calls."""
        return sorted(self._seconds)[int(fraction * (len(self._seconds) - 1))]


class Plugin:
    """The channel to one synthesizer, made again after each loss."""

    def __init__(self, name: str, link: Link, tell: Callable[[Fault], None] = lambda fault: None) -> None:
        """`tell(fault)` gets each fault as it is counted."""
        self.name = name
        self.link = link
        self.faults = 0  # since the engine began
        self._tell = tell
        self.state = self._absent()
        self.incarnation = 0  # grows with each connection: what was open in an older one is not any more
        self.description: synthesizer_pb2.DescribeResponse | None = None
        self.calls_in_flight = 0
        self.latencies: dict[str, Latencies] = {}  # by method
        self.is_draining = False  # it is given no new runs
        self._channel: grpc.aio.Channel | None = None
        self._health: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._start: asyncio.Task[grpc.aio.Channel] | None = None
        self._is_stopping = False
        self._ending = asyncio.Lock()
        self._given_up = 0  # the last incarnation that was
        self._faults: list[float] = []
        self._last_fault = ""
        self._delay_s = 0.0

    def shown_state(self) -> PluginState:
        """The text that people see."""
        return PluginState.DRAINING if self.is_draining else self.state

    def _absent(self) -> PluginState:
        return PluginState.INSTALLED if self.link.command else PluginState.REMOTE

    async def channel(self) -> grpc.aio.Channel:
        """The channel to the running plugin, which is started where it is not.

        Raises: PluginFault if the plugin is quarantined, a pinned file of its is another, or it describes itself with
        what cannot be; NotReady if it runs elsewhere and is not there, needs too much time, or is stopped meanwhile.
        """
        async with self._starting:
            self._start = asyncio.ensure_future(self._started())
            try:
                return await self._start
            except asyncio.CancelledError:
                if self._is_stopping:
                    raise NotReady(f"synthesizer {self.name} is stopped, as its engine or its user wants") from None
                raise

    async def _started(self) -> grpc.aio.Channel:
        while True:
            await self._notice_end()
            if self.state is PluginState.QUARANTINED:
                raise PluginFault(self._blame())
            if self._channel is not None and self.link.is_up():
                await self._await_ready(self._channel)
                return self._channel
            await self._drop()
            if self._delay_s:
                await asyncio.sleep(self._delay_s * random.uniform(0.5, 1.0))
            self._delay_s = min(max(2 * self._delay_s, FIRST_DELAY_S), LONGEST_DELAY_S)
            try:
                self._take(await self._connected())
            except (PluginUnavailable, OSError) as error:
                self.fault(str(error))

    async def _connected(self) -> Connected:
        connected = await self.link.connect()
        try:
            check_description(self.name, connected.description)
        except PluginFault:
            await connected.channel.close(None)
            await self.link.cut()
            raise
        return connected

    def _take(self, connected: Connected) -> None:
        self._channel, self.description = connected.channel, connected.description
        self.incarnation += 1
        self.state = PluginState.READY
        self._health = asyncio.create_task(self._watch_health(self._channel))

    async def _await_ready(self, channel: grpc.aio.Channel) -> None:
        """Ask a plugin that needs time how it is. Raises: NotReady where it needs too much of it."""
        end = time.monotonic() + PATIENCE_S
        while self.description is not None and is_waiting(self.description):
            if time.monotonic() > end:
                why = self.description.not_ready_reason
                raise NotReady(f"synthesizer {self.name} has not been ready for {PATIENCE_S:g} s: {why}")
            await asyncio.sleep(READY_EVERY_S)
            try:
                request = synthesizer_pb2.DescribeRequest()
                description = await stub_of(channel).Describe(request, timeout=DESCRIBE_DEADLINE_S)
            except grpc.aio.AioRpcError:
                return  # the call that it was asked for tells
            check_description(self.name, description)
            self.description = description

    def progressed(self) -> None:
        """A run goes on with what the plugin answered: earlier faults and delays are forgotten."""
        self._faults.clear()
        self._delay_s = 0.0

    def pardon(self) -> None:
        """Somebody wants to try again: out of quarantine."""
        self.progressed()
        if self.state is PluginState.QUARANTINED:
            self.state = self._absent()

    def fault(self, why: str, ending: Ending | None = None) -> None:
        """Count a fault; five in ten minutes without progress put the plugin into quarantine."""
        now = time.monotonic()
        self.faults += 1
        self._tell(Fault(why, ending, self.faults))
        self._faults = [at for at in self._faults if now - at < FAULT_WINDOW_S] + [now]
        LOG.warning("plugin %s: %s", self.name, why)
        self._last_fault = why
        if len(self._faults) >= FAULTS:
            self.state = PluginState.QUARANTINED

    async def give_up(self, incarnation: int, why: str, *, is_lost: bool = False) -> None:
        """End the process, or the connection, of an incarnation: one fault, however many notice it.

        `is_lost`: its connection is; then how its process has ended says more. The next call begins anew.
        """
        async with self._ending:
            if incarnation != self.incarnation or incarnation == self._given_up:
                return
            if is_lost:
                await self.link.until_ended()
            self._given_up = incarnation
            ending = self.link.ending()
            if ending is not None:
                why = f"{why}: its process {ending.words}"
            self.fault(why, ending)
            await self.link.cut()

    async def _notice_end(self) -> None:
        """A process that has ended while nobody called it."""
        if self._channel is not None and self.link.ending():
            await self.give_up(self.incarnation, "between two calls")

    async def stop(self) -> None:
        """End it, also while it is being started."""
        self._is_stopping = True
        if self._start is not None:
            self._start.cancel()
        async with self._starting:
            self._is_stopping = False
            await self._drop()
            if self.state is not PluginState.QUARANTINED:
                self.state = self._absent()

    def _blame(self) -> str:
        last = self._last_fault or "no output"
        return f"synthesizer {self.name} failed {FAULTS} times and is in quarantine; last: {last}"

    async def _drop(self) -> None:
        if self._health is not None:
            self._health.cancel()
            await asyncio.gather(self._health, return_exceptions=True)
            self._health = None
        if self._channel is not None:
            await self._channel.close(None)
            self._channel = None
        await self.link.cut()

    async def _watch_health(self, channel: grpc.aio.Channel) -> None:
        stub = health_pb2_grpc.HealthStub(channel)
        missed = 0
        while True:
            await asyncio.sleep(HEALTH_EVERY_S)
            if not self.link.is_up():  # whoever calls it next begins anew
                await self._notice_end()
                return
            try:
                await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=HEALTH_DEADLINE_S)
                missed = missed + 1 if self.link.has_lapsed() else 0
            except grpc.aio.AioRpcError:
                missed += 1
            if missed >= MISSED_CHECKS and self.calls_in_flight == 0:
                self.state = PluginState.SUSPECT
                await self.give_up(self.incarnation, f"{missed} health checks missed, or the lease has lapsed")
                return
