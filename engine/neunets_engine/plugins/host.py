"""What the engine serves to plugins: registration by a launch token, leases, answers about graphs and earlier runs."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import grpc

from neunets.errors import InvalidRequest, NotFound, Unauthenticated
from neunets.graph.v1 import graph_pb2
from neunets.hosting import apply_morphs, estimate_cost
from neunets.synthesizer.v1 import synthesizer_pb2, synthesizer_pb2_grpc
from neunets_engine.admission import Admitted, Rules, admit

__all__ = ["LEASE_S", "PROTOCOL_MAJOR", "SELF_UNSET", "PluginHost", "Registration"]

PROTOCOL_MAJOR: Final = 1
P = ParamSpec("P")
Answer = TypeVar("Answer")
LEASE_S: Final = 30.0
TOKEN_LIFE_S: Final = 60.0
SELF_UNSET: Final = "unset: a plugin describes itself as it registers, as Describe does"


@dataclass(frozen=True, slots=True)
class Registration:
    """What a plugin said of itself."""

    plugin: str
    endpoint: str
    description: synthesizer_pb2.DescribeResponse


@dataclass(slots=True)
class _Token:
    plugin: str
    expires: float
    registered: asyncio.Future[Registration]


class PluginHost(synthesizer_pb2_grpc.PluginHostServicer):
    """The servicer; `rules(run)` gives the rules of a run, and `network(run, candidate)` a network that it admitted.

    `experiments` answers what earlier runs have learned.
    """

    def __init__(
        self,
        rules: Callable[[str], Rules],
        network: Callable[[str, str], graph_pb2.Graph],
        experiments: Callable[
            [synthesizer_pb2.QueryExperimentsRequest], Awaitable[synthesizer_pb2.QueryExperimentsResponse]
        ],
        monotonic: Callable[[], float] = time.monotonic,
        drains: Callable[[str], bool] = lambda plugin: False,
    ) -> None:
        """`drains(plugin)`: whether it gets no new runs."""
        self.drains = drains
        self._rules = rules
        self._network = network
        self._experiments = experiments
        self._monotonic = monotonic
        self._tokens: dict[str, _Token] = {}
        self._renewed: dict[str, float] = {}
        self._leaving = set[str]()
        # One at a time in a thread: whoever asks much waits for itself, and leaves the loop and the other threads free.
        self._computing = asyncio.Semaphore(1)
        self._endpoints: dict[str, str] = {}  # of the plugins that are up

    def issue(self, plugin: str) -> tuple[str, asyncio.Future[Registration]]:
        """A single-use token for a plugin that is being launched, and the future of its registration."""
        token = secrets.token_urlsafe(32)
        registered: asyncio.Future[Registration] = asyncio.get_running_loop().create_future()
        self._tokens[token] = _Token(plugin, self._monotonic() + TOKEN_LIFE_S, registered)
        return token, registered

    def revoke(self, plugin: str) -> None:
        self._tokens = {token: entry for token, entry in self._tokens.items() if entry.plugin != plugin}

    def forget(self, plugin: str) -> None:
        """It has ended: its endpoint is free."""
        self._endpoints.pop(plugin, None)
        self._leaving.discard(plugin)

    def is_leaving(self, plugin: str) -> bool:
        """Whether it has said that it wants no new runs."""
        return plugin in self._leaving

    def has_lapsed(self, plugin: str) -> bool:
        """Whether a registered plugin has not renewed its lease."""
        return self._monotonic() - self._renewed[plugin] > LEASE_S

    async def Register(
        self, request: synthesizer_pb2.RegisterRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> synthesizer_pb2.RegisterResponse:
        entry = self._tokens.get(request.token)
        if entry is None or entry.expires < self._monotonic():
            raise Unauthenticated("unknown or expired launch token: a plugin is started by the engine")
        if PROTOCOL_MAJOR not in request.protocol_majors:
            majors = list(request.protocol_majors)
            raise InvalidRequest("protocol_majors", f"{majors}: this engine speaks {PROTOCOL_MAJOR}")
        if not request.endpoint.startswith("unix:"):
            raise InvalidRequest("endpoint", f"{request.endpoint!r}: a launched plugin serves a unix socket")
        if not request.HasField("self"):
            raise InvalidRequest("self", SELF_UNSET)
        self._check_free(entry.plugin, request.endpoint)
        registration = Registration(entry.plugin, request.endpoint, request.self)
        if entry.registered.done():
            if entry.registered.result().endpoint != request.endpoint:
                raise Unauthenticated("the launch token was used already")
        else:
            entry.registered.set_result(registration)
        self._endpoints[entry.plugin] = request.endpoint
        self._renewed[entry.plugin] = self._monotonic()
        response = synthesizer_pb2.RegisterResponse(plugin=entry.plugin, protocol_major=PROTOCOL_MAJOR)
        response.lease.FromMilliseconds(int(1000 * LEASE_S))
        return response

    def _check_free(self, plugin: str, endpoint: str) -> None:
        """Raises: InvalidRequest where another plugin that is up serves there, by whatever name of the same file."""
        for other, taken in self._endpoints.items():
            if other != plugin and _same_socket(endpoint, taken):
                text = f"{endpoint!r} is that of {other}: listen on a socket of your own, in NEUNETS_SOCKET_DIR"
                raise InvalidRequest("endpoint", text)

    async def Renew(
        self, request: synthesizer_pb2.RenewRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> synthesizer_pb2.RenewResponse:
        if request.plugin not in self._renewed:
            raise NotFound(f"no plugin {request.plugin!r} is registered")
        self._renewed[request.plugin] = self._monotonic()
        (self._leaving.add if request.draining else self._leaving.discard)(request.plugin)
        response = synthesizer_pb2.RenewResponse(please_drain=self.drains(request.plugin))
        response.lease.FromMilliseconds(int(1000 * LEASE_S))
        return response

    async def EstimateCost(
        self, request: synthesizer_pb2.EstimateCostRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> synthesizer_pb2.EstimateCostResponse:
        return await self._alone(estimate_cost, request)

    async def ValidateGraph(
        self, request: synthesizer_pb2.ValidateGraphRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> synthesizer_pb2.ValidateGraphResponse:
        candidate = synthesizer_pb2.Candidate(graph=request.graph)
        answer = await self._alone(admit, candidate, self._rules(request.run), {})
        diagnostics = () if isinstance(answer, Admitted) else answer
        return synthesizer_pb2.ValidateGraphResponse(diagnostics=diagnostics)

    async def ApplyMorphs(
        self, request: synthesizer_pb2.ApplyMorphsRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> synthesizer_pb2.ApplyMorphsResponse:
        return await self._alone(apply_morphs, request, self._network)

    async def QueryExperiments(
        self, request: synthesizer_pb2.QueryExperimentsRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> synthesizer_pb2.QueryExperimentsResponse:
        return await self._experiments(request)

    async def _alone(self, work: Callable[P, Answer], *args: P.args, **kwargs: P.kwargs) -> Answer:
        async with self._computing:
            return await asyncio.to_thread(work, *args, **kwargs)


def _same_socket(one: str, other: str) -> bool:
    first, second = (Path(endpoint.removeprefix("unix:")) for endpoint in (one, other))
    try:
        return first.samefile(second)
    except OSError:
        return first.resolve() == second.resolve()
