"""The kit's side of a launched plugin: what the engine serves to it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition
from typing import Final

import grpc

from neunets.conform.drive import Run
from neunets.conform.past import made_up
from neunets.errors import InvalidRequest, NeunetsError, NotFound, Unauthenticated
from neunets.graph.v1 import graph_pb2
from neunets.hosting import apply_morphs, estimate_cost
from neunets.messages import CHANNEL_LIMITS
from neunets.status import StatusInterceptor
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.synthesizer.v1 import synthesizer_pb2_grpc

__all__ = ["LEASE_S", "Host"]

# Short, so that a kit need not wait long for a renewal.
LEASE_S: Final = 3.0
PROTOCOL_MAJOR: Final = 1
SELF_UNSET: Final = "unset: a plugin describes itself as it registers, as Describe does"
THREADS: Final = 4


@dataclass(frozen=True, slots=True)
class _Registered:
    request: pb.RegisterRequest
    plugin: str


class Host(synthesizer_pb2_grpc.PluginHostServicer):
    """Owns the host's socket; `runs` are those that are open, by their names."""

    def __init__(self, socket: Path) -> None:
        self.endpoint = f"unix:{socket}"
        self.runs: dict[str, Run] = {}
        self._socket = socket
        self._changed = Condition()
        self._tokens: dict[str, _Registered | None] = {}
        self._renewed: dict[str, int] = {}
        self._refusal = ""
        self._server: grpc.Server | None = None

    def __enter__(self) -> Host:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Serve; whoever registered before is not known."""
        self._renewed.clear()
        server = grpc.server(ThreadPoolExecutor(THREADS), interceptors=[StatusInterceptor()], options=CHANNEL_LIMITS)
        synthesizer_pb2_grpc.add_PluginHostServicer_to_server(self, server)
        server.add_insecure_port(self.endpoint)
        server.start()
        self._server = server

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None
        with suppress(FileNotFoundError):
            self._socket.unlink()

    def issue(self) -> str:
        """A launch token."""
        token = secrets.token_urlsafe(32)
        self._tokens[token] = None
        self._refusal = ""
        return token

    def refusal(self) -> str:
        """Why the last Register since the last token was issued was refused; empty: none was."""
        return self._refusal

    def registration(self, token: str) -> pb.RegisterRequest | None:
        found = self._tokens.get(token)
        return found.request if found else None

    def await_registration(self, token: str, timeout_s: float, is_over: Callable[[], bool]) -> bool:
        """Until the plugin has registered with `token`, or `is_over`; see `notify`."""
        with self._changed:
            self._changed.wait_for(lambda: self._tokens[token] is not None or is_over(), timeout_s)
            return self._tokens[token] is not None

    def await_renewal(self, token: str, timeout_s: float) -> bool:
        """Until the plugin of `token` has renewed its lease at least once."""
        found = self._tokens[token]
        with self._changed:
            return (
                found is not None and self._changed.wait_for(lambda: self._renewed.get(found.plugin, 0), timeout_s) > 0
            )

    def notify(self) -> None:
        """Something changed that somebody may wait for."""
        with self._changed:
            self._changed.notify_all()

    def Register(self, request: pb.RegisterRequest, context: grpc.ServicerContext) -> pb.RegisterResponse:
        with self._changed:
            try:
                before = self._before(request)
            except NeunetsError as error:
                self._refusal = error.message
                raise
            entry = before or _Registered(request, f"plugin-{len(self._tokens)}")
            self._tokens[request.token] = entry
            self._renewed[entry.plugin] = 0
            self._changed.notify_all()
        response = pb.RegisterResponse(plugin=entry.plugin, protocol_major=PROTOCOL_MAJOR)
        response.lease.FromMilliseconds(int(1000 * LEASE_S))
        return response

    def _before(self, request: pb.RegisterRequest) -> _Registered | None:
        """The first registration with this token, where there is one. Raises: Unauthenticated, InvalidRequest."""
        if request.token not in self._tokens:
            raise Unauthenticated("unknown launch token")
        if PROTOCOL_MAJOR not in request.protocol_majors:
            raise InvalidRequest("protocol_majors", f"this kit speaks {PROTOCOL_MAJOR}")
        if not request.HasField("self"):
            raise InvalidRequest("self", SELF_UNSET)
        before = self._tokens[request.token]
        if before is not None and before.request.endpoint != request.endpoint:
            raise Unauthenticated("the launch token was used already")
        return before

    def Renew(self, request: pb.RenewRequest, context: grpc.ServicerContext) -> pb.RenewResponse:
        with self._changed:
            if request.plugin not in self._renewed:
                raise NotFound(f"no plugin {request.plugin!r} is registered")
            self._renewed[request.plugin] += 1
            self._changed.notify_all()
        response = pb.RenewResponse()
        response.lease.FromMilliseconds(int(1000 * LEASE_S))
        return response

    def EstimateCost(self, request: pb.EstimateCostRequest, context: grpc.ServicerContext) -> pb.EstimateCostResponse:
        return estimate_cost(request)

    def ValidateGraph(
        self, request: pb.ValidateGraphRequest, context: grpc.ServicerContext
    ) -> pb.ValidateGraphResponse:
        found = self._run(request.run).judge.judge(pb.Candidate(graph=request.graph), {})
        return pb.ValidateGraphResponse(diagnostics=[found.diagnostic()] if found.refusal else [])

    def ApplyMorphs(self, request: pb.ApplyMorphsRequest, context: grpc.ServicerContext) -> pb.ApplyMorphsResponse:
        return apply_morphs(request, self._network)

    def QueryExperiments(
        self, request: pb.QueryExperimentsRequest, context: grpc.ServicerContext
    ) -> pb.QueryExperimentsResponse:
        return made_up(self._run(request.run).opening.problem, request)

    def _network(self, run: str, candidate: str) -> graph_pb2.Graph:
        admitted = self._run(run).log.family.parents.get(candidate)
        if admitted is None:
            raise NotFound(f"run {run!r} has admitted no candidate {candidate!r}")
        return admitted.graph

    def _run(self, name: str) -> Run:
        if name not in self.runs:
            raise NotFound(f"no run {name!r} is open")
        return self.runs[name]
