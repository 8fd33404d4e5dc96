"""A synthesizer as a process: socket, registration with the engine, lease, health, reflection."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from neunets.errors import NeunetsError
from neunets.process import die_with_parent
from neunets.status import StatusInterceptor, rpc_error
from neunets.synthesizer.api import Synthesizer
from neunets.synthesizer.servicer import SynthesizerServicer
from neunets.synthesizer.v1 import synthesizer_pb2, synthesizer_pb2_grpc
from neunets.synthesizer.wire import description_to_proto

__all__ = ["serve"]

LOG: Final = logging.getLogger(__name__)
SERVICE: Final = synthesizer_pb2.DESCRIPTOR.services_by_name["Synthesizer"].full_name
# Health, reflection and refusals have to be answered while every run computes.
THREADS: Final = 16
PROTOCOL_MAJOR: Final = 1
REGISTER_DEADLINE_S: Final = 5.0


def serve(synthesizer: Synthesizer) -> int:
    """Serve until told to end (SIGTERM, SIGINT); returns the exit code.

    From the environment, as the engine sets it: NEUNETS_HOST (gRPC target of the plugin host), NEUNETS_LAUNCH_TOKEN,
    NEUNETS_SOCKET_DIR, NEUNETS_PARENT_DEATH=1 (end with the engine).
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    environment = os.environ
    missing = [n for n in ("NEUNETS_HOST", "NEUNETS_LAUNCH_TOKEN", "NEUNETS_SOCKET_DIR") if n not in environment]
    if missing:
        print(f"{missing[0]} is not set: a synthesizer is started by the engine", file=sys.stderr)
        return 2
    if environment.get("NEUNETS_PARENT_DEATH") == "1":
        die_with_parent()
    stop = Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    servicer = SynthesizerServicer(synthesizer)
    server, endpoint = _listen(servicer, Path(environment["NEUNETS_SOCKET_DIR"]))
    try:
        with grpc.insecure_channel(environment["NEUNETS_HOST"]) as channel:
            return _keep_registered(synthesizer, servicer, channel, endpoint, environment, stop)
    finally:
        server.stop(grace=1.0).wait()
        with suppress(FileNotFoundError):
            Path(endpoint.removeprefix("unix:")).unlink()


def _listen(servicer: SynthesizerServicer, folder: Path) -> tuple[grpc.Server, str]:
    server = grpc.server(ThreadPoolExecutor(THREADS), interceptors=[StatusInterceptor()])
    synthesizer_pb2_grpc.add_SynthesizerServicer_to_server(servicer, server)
    healthy = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    reflection.enable_server_reflection([SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    endpoint = f"unix:{folder / f'{os.getpid()}.sock'}"
    before = os.umask(0o077)  # nobody else may connect
    try:
        with suppress(FileNotFoundError):
            Path(endpoint.removeprefix("unix:")).unlink()
        server.add_insecure_port(endpoint)
    finally:
        os.umask(before)
    server.start()
    for name in ("", SERVICE):
        healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    return server, endpoint


def _keep_registered(
    synthesizer: Synthesizer,
    servicer: SynthesizerServicer,
    channel: grpc.Channel,
    endpoint: str,
    environment: Mapping[str, str],
    stop: Event,
) -> int:
    host = synthesizer_pb2_grpc.PluginHostStub(channel)
    request = synthesizer_pb2.RegisterRequest(
        token=environment["NEUNETS_LAUNCH_TOKEN"],
        endpoint=endpoint,
        protocol_majors=[PROTOCOL_MAJOR],
        self=description_to_proto(synthesizer.describe()),
    )
    try:
        registered = host.Register(request, timeout=REGISTER_DEADLINE_S, wait_for_ready=True)
    except grpc.RpcError as error:
        print(f"the engine refused this plugin: {rpc_error(error)}", file=sys.stderr)
        return 1
    lease_s = registered.lease.ToMilliseconds() / 1000
    while not stop.wait(lease_s / 3):
        renewal = synthesizer_pb2.RenewRequest(plugin=registered.plugin, open_runs=servicer.open_runs())
        try:
            host.Renew(renewal, timeout=REGISTER_DEADLINE_S)
        except grpc.RpcError as error:
            _complain(rpc_error(error))
    return 0


def _complain(error: NeunetsError) -> None:
    LOG.warning("the lease was not renewed: %s", error.message)
