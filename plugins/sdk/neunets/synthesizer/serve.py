"""A synthesizer as a process: listening, registration with the engine, lease, health, reflection."""

from __future__ import annotations

import logging
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from neunets.errors import (
    DeadlineExceeded,
    InvalidRequest,
    NeunetsError,
    NotFound,
    NotReady,
    PluginUnavailable,
)
from neunets.sockets import SERVER_OPTIONS
from neunets.status import StatusInterceptor, rpc_error
from neunets.synthesizer.api import Synthesizer
from neunets.synthesizer.place import Alone, Place, Site, place_of
from neunets.synthesizer.servicer import SynthesizerServicer
from neunets.synthesizer.v1 import synthesizer_pb2, synthesizer_pb2_grpc
from neunets.synthesizer.wire import description_to_proto

__all__ = ["SERVICE", "listen", "serve"]

LOG: Final = logging.getLogger(__name__)
SERVICE: Final = synthesizer_pb2.DESCRIPTOR.services_by_name["Synthesizer"].full_name
# Health, reflection and refusals have to be answered while every run computes.
THREADS: Final = 16
PROTOCOL_MAJOR: Final = 1
REGISTER_DEADLINE_S: Final = 5.0
FIRST_DELAY_S, LONGEST_DELAY_S = 0.2, 30.0


def serve(synthesizer: Synthesizer) -> int:
    """Serve until told to end (SIGTERM, SIGINT); returns the exit code. `place_of` reads the environment."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        place = place_of(os.environ)
    except InvalidRequest as error:
        print(error.message, file=sys.stderr)
        return 2
    stop = Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    servicer = SynthesizerServicer(synthesizer, None if isinstance(place, Alone) else place.channel)
    try:
        server, endpoint = listen(servicer, place)
    except InvalidRequest as error:
        print(error.message, file=sys.stderr)
        return 2
    try:
        if isinstance(place, Alone):
            LOG.info("serving on %s", endpoint)
            stop.wait()
            return 0
        return _Registration(synthesizer, servicer, place, endpoint).keep(stop)
    finally:
        server.stop(grace=1.0).wait()
        place.close()


def listen(servicer: SynthesizerServicer, place: Site) -> tuple[grpc.Server, str]:
    """A server that serves, and the gRPC target for the engine. Raises: InvalidRequest."""
    server = grpc.server(
        ThreadPoolExecutor(THREADS), interceptors=[StatusInterceptor(place.admit)], options=SERVER_OPTIONS
    )
    synthesizer_pb2_grpc.add_SynthesizerServicer_to_server(servicer, server)
    healthy = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    reflection.enable_server_reflection([SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    endpoint = place.bind(server)
    server.start()
    for name in ("", SERVICE):
        healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    return server, endpoint


class _Registration:
    """With the engine: made once, renewed, and made again with the engine that comes after it."""

    def __init__(self, synthesizer: Synthesizer, servicer: SynthesizerServicer, place: Place, endpoint: str) -> None:
        self._servicer, self._place = servicer, place
        self._request = synthesizer_pb2.RegisterRequest(
            token=place.token,
            endpoint=endpoint,
            protocol_majors=[PROTOCOL_MAJOR],
            self=description_to_proto(synthesizer.describe()),
        )
        self._channel = place.channel()
        self._plugin = ""
        self._is_drained = False

    def keep(self, stop: Event) -> int:
        """Until `stop`, or the engine gives it no runs any more; the exit code: 1 where the engine refuses."""
        try:
            lease_s = self._register(stop)
            while lease_s is not None and not self._is_drained and not stop.wait(lease_s / 3):
                lease_s = self._renew(lease_s, stop)
        except NeunetsError as error:
            print(f"the engine refused this plugin: {error.message}", file=sys.stderr)
            return 1
        finally:
            self._channel.close()
        return 0

    def _register(self, stop: Event) -> float | None:
        """Seconds of the lease; None: told to end meanwhile. One that is kept waits for its engine."""
        delay_s = FIRST_DELAY_S
        while True:
            host = synthesizer_pb2_grpc.PluginHostStub(self._channel)
            try:
                answer = host.Register(self._request, timeout=REGISTER_DEADLINE_S, wait_for_ready=True)
            except grpc.RpcError as raw:
                error = rpc_error(raw)
                if not self._place.is_kept or not isinstance(error, PluginUnavailable | NotReady | DeadlineExceeded):
                    raise error from raw
                LOG.warning("the engine does not answer: %s", error.message)
            else:
                self._plugin = answer.plugin
                return answer.lease.ToMilliseconds() / 1000
            if stop.wait(delay_s):
                return None
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)

    def _renew(self, lease_s: float, stop: Event) -> float | None:
        renewal = synthesizer_pb2.RenewRequest(plugin=self._plugin, open_runs=self._servicer.open_runs())
        host = synthesizer_pb2_grpc.PluginHostStub(self._channel)
        try:
            answer = host.Renew(renewal, timeout=REGISTER_DEADLINE_S)
        except grpc.RpcError as raw:
            error = rpc_error(raw)
            if self._place.is_kept and isinstance(error, NotFound):  # another engine
                return self._register(stop)
            LOG.warning("the lease was not renewed: %s", error.message)
            return lease_s
        self._is_drained = answer.please_drain and not self._servicer.open_runs()
        if answer.certificate:
            self._place.rotate(answer.certificate)
            self._channel.close()
            self._channel = self._place.channel()
            LOG.info("this plugin has a new certificate")
        return lease_s
