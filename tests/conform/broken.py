"""`python -m conform.broken --flaw NAME`: a plugin that breaks one law of the contract, or none."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from conform.climbing import Climbing
from conform.flaws import FLAWS, ODDITIES, Flaw
from conform.ladder import Ladder
from conform.widening import Widening
from neunets.process import die_with_parent
from neunets.status import StatusInterceptor
from neunets.synthesizer import Synthesizer
from neunets.synthesizer.serve import SERVICE
from neunets.synthesizer.servicer import SynthesizerServicer
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.synthesizer.v1 import synthesizer_pb2_grpc
from neunets.synthesizer.wire import description_to_proto

THREADS = 16


class Facade(synthesizer_pb2_grpc.SynthesizerServicer):
    """Before the servicer that keeps all laws; `memory` and `lock` are for flaws that remember something."""

    def __init__(self, synthesizer: Synthesizer, flaw: Flaw) -> None:
        self.synthesizer, self.servicer, self.flaw = synthesizer, SynthesizerServicer(synthesizer), flaw
        self.memory: dict[Any, Any] = {}
        self.lock = Lock()

    def described(self, description: pb.DescribeResponse) -> pb.DescribeResponse:
        self.flaw.describes(description)
        return description

    def Describe(self, request: pb.DescribeRequest, context: grpc.ServicerContext) -> Any:
        def due(request: pb.DescribeRequest, context: grpc.ServicerContext) -> pb.DescribeResponse:
            return self.described(self.servicer.Describe(request, context))

        return self._called("Describe", due, request, context)

    def Open(self, request: pb.OpenRequest, context: grpc.ServicerContext) -> Any:
        return self._called("Open", self.servicer.Open, request, context)

    def Propose(self, request: pb.ProposeRequest, context: grpc.ServicerContext) -> Any:
        return self._called("Propose", self.servicer.Propose, request, context)

    def Ingest(self, request: pb.IngestRequest, context: grpc.ServicerContext) -> Any:
        return self._called("Ingest", self.servicer.Ingest, request, context)

    def Assess(self, request: pb.AssessRequest, context: grpc.ServicerContext) -> Any:
        return self._called("Assess", self.servicer.Assess, request, context)

    def Close(self, request: pb.CloseRequest, context: grpc.ServicerContext) -> Any:
        return self._called("Close", self.servicer.Close, request, context)

    def Snapshot(self, request: pb.SnapshotRequest, context: grpc.ServicerContext) -> Any:
        return self._called("Snapshot", self.servicer.Snapshot, request, context)

    def _called(self, method: str, due: Callable[..., Any], request: Any, context: grpc.ServicerContext) -> Any:
        flaw = self.flaw.calls.get(method)
        return flaw(self, due, request, context) if flaw else due(request, context)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    plugins = {**ODDITIES, **FLAWS}
    parser.add_argument("--flaw", default="none", choices=sorted(plugins))
    flaw = plugins[parser.parse_args().flaw]
    die_with_parent()
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    facade = Facade(_synthesizer(flaw), flaw)
    options = [("grpc.max_receive_message_length", flaw.largest_message)]
    server = grpc.server(ThreadPoolExecutor(THREADS), interceptors=[StatusInterceptor()], options=options)
    synthesizer_pb2_grpc.add_SynthesizerServicer_to_server(facade, server)
    healthy = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    for name in flaw.healthy_names:
        healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    if flaw.has_reflection:
        reflection.enable_server_reflection([SERVICE, reflection.SERVICE_NAME], server)
    endpoint = f"unix:{os.environ['NEUNETS_SOCKET_DIR']}/{os.getpid()}.sock"
    server.add_insecure_port(endpoint)
    server.start()
    _keep_registered(facade, endpoint, stop)
    server.stop(None).wait()
    return 0


def _synthesizer(flaw: Flaw) -> Synthesizer:
    if flaw.evolves:
        return Widening(flaw.alter, flaw.parent)
    if flaw.climbs:
        return Climbing(flaw.alter, flaw.continues)
    return Ladder(flaw.alter, flaw.skip, flaw.answers)


def _keep_registered(facade: Facade, endpoint: str, stop: Event) -> None:
    with grpc.insecure_channel(os.environ["NEUNETS_HOST"]) as channel:
        host = synthesizer_pb2_grpc.PluginHostStub(channel)
        request = pb.RegisterRequest(
            token=os.environ["NEUNETS_LAUNCH_TOKEN"], endpoint=endpoint, protocol_majors=[1], self=_description(facade)
        )
        facade.flaw.registers(request)
        registered = host.Register(request, timeout=60.0)
        while not stop.wait(registered.lease.ToMilliseconds() / 3000):
            if facade.flaw.renews:
                try:
                    host.Renew(pb.RenewRequest(plugin=registered.plugin), timeout=60.0)
                except grpc.RpcError:
                    facade.memory["lease"] = "lost"


def _description(facade: Facade) -> pb.DescribeResponse:
    return facade.described(description_to_proto(facade.synthesizer.describe()))


if __name__ == "__main__":
    raise SystemExit(main())
