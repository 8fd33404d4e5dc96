"""A plugin on another host: it dials in with an enrolment, and is called back over mutual TLS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import grpc

from neunets.errors import NotReady
from neunets.messages import CHANNEL_LIMITS
from neunets.sockets import channel_options
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.plugins.authority import Credentials
from neunets_engine.plugins.host import LEASE_S
from neunets_engine.plugins.plugin import PATIENCE_S, Connected, Ending, first_answer

__all__ = ["RemoteProcess"]

ELSEWHERE: Final = "from its host"
# gRPC's own pause between two connections would grow to minutes.
OPTIONS: Final = (("grpc.enable_retries", 0), ("grpc.max_reconnect_backoff_ms", 1000), *CHANNEL_LIMITS)


class RemoteProcess:
    """The `Link` to a process that others start and end."""

    def __init__(
        self,
        name: str,
        authority: bytes,
        credentials: Credentials,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`authority` (PEM) has signed its certificate; `credentials`: the engine's."""
        self._name, self._host_name = name, ""
        self._credentials = grpc.ssl_channel_credentials(authority, credentials.key, credentials.certificate)
        self._monotonic = monotonic
        self._endpoint = ""
        self._description = synthesizer_pb2.DescribeResponse()
        self._seen = 0.0
        self._registrations = 0
        self._connected = -1  # the registration that the last connection was made for
        self._is_cut = self._is_leaving = False
        self._present = asyncio.Event()

    @property
    def command(self) -> tuple[str, ...]:
        return ()

    def registered(self, endpoint: str, host_name: str, description: synthesizer_pb2.DescribeResponse) -> None:
        """It is there, perhaps as a new process. `host_name`: in its certificate, whatever its address is."""
        self._endpoint, self._host_name, self._description = endpoint, host_name, description
        self._registrations += 1
        self.renewed()

    def renewed(self, *, is_leaving: bool = False) -> None:
        self._is_leaving = is_leaving
        self._seen = self._monotonic()
        self._present.set()

    def is_registered(self) -> bool:
        return self._registrations > 0

    def pid(self) -> int | None:
        return None

    def is_up(self) -> bool:
        return not self._is_cut and self._connected == self._registrations and not self.has_lapsed()

    def has_lapsed(self) -> bool:
        return self._monotonic() - self._seen > LEASE_S

    async def connect(self) -> Connected:
        """Raises: NotReady where it does not come."""
        if not self.is_registered() or self.has_lapsed():
            self._present.clear()
            try:
                await asyncio.wait_for(self._present.wait(), PATIENCE_S)
            except TimeoutError:
                raise NotReady(f"synthesizer {self._name} does not answer {ELSEWHERE}: start it") from None
        registrations = self._registrations
        options = channel_options(self._endpoint, ("grpc.ssl_target_name_override", self._host_name), *OPTIONS)
        channel = grpc.aio.secure_channel(self._endpoint, self._credentials, options=options)
        await first_answer(channel, self._name, ELSEWHERE)  # within its lease it may just be started again
        self._connected, self._is_cut = registrations, False
        return Connected(channel, self._description)

    async def until_ended(self) -> None:
        """Only its host knows."""

    def ending(self) -> Ending | None:
        return None

    def endpoint(self) -> str:
        return self._endpoint

    def is_leaving(self) -> bool:
        return self._is_leaving

    async def cut(self) -> None:
        """The process is not ours to end: only the connection is made anew."""
        self._is_cut = True
