"""A service that answers as a test tells it to, and both clients of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2_grpc

from neunets.errors import NeunetsError
from neunets.service.v1 import service_pb2
from neunets.status import StatusInterceptor
from neunets_client import Client, Connection, connect_async

# What a test has the service do: reply, stream, or fail with a status, or as an engine does.
Step = Message | grpc.StatusCode | NeunetsError


class Answering(grpc.GenericRpcHandler):
    """Each call of a method takes the next of its `answers`; `asked` and `deadlines_s` are of all calls, in order."""

    def __init__(self) -> None:
        self.answers: dict[str, deque[tuple[Step, ...]]] = {}
        self.asked: list[Message] = []
        self.deadlines_s: list[float] = []

    def on(self, method: str, *answers: Step | tuple[Step, ...]) -> None:
        """`method` is "Runs.Get"; a tuple is a stream."""
        steps = (answer if isinstance(answer, tuple) else (answer,) for answer in answers)
        self.answers[method] = deque(steps)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        service, _, method = details.method.rpartition("/")
        if "neunets" not in service:
            return None
        name = service.rpartition(".")[2]
        entry = service_pb2.DESCRIPTOR.services_by_name[name].methods_by_name[method]
        request = message_factory.GetMessageClass(entry.input_type)

        def stream(request: Message, context: grpc.ServicerContext) -> Iterator[Message]:
            self.asked.append(request)
            self.deadlines_s.append(context.time_remaining())
            for step in self.answers[f"{name}.{method}"].popleft():
                if isinstance(step, grpc.StatusCode):
                    context.abort(step, "as the test wants it")
                if isinstance(step, NeunetsError):
                    raise step
                yield step

        def answer(request: Message, context: grpc.ServicerContext) -> Message:
            return next(stream(request, context))

        if entry.server_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, request.FromString, _serialize)
        return grpc.unary_unary_rpc_method_handler(answer, request.FromString, _serialize)


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


@pytest.fixture
def service() -> Answering:
    return Answering()


@pytest.fixture
def target(service: Answering) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4), handlers=[service], interceptors=[StatusInterceptor()])
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture(params=["Client", "AsyncClient"])
def ask(request: pytest.FixtureRequest, target: str) -> Callable[[Callable[[Any], Any]], Any]:
    """What a client's method returns, of either client: an iterator's items, or the one result."""

    def with_client(use: Callable[[Any], Any]) -> Any:
        with Connection(target) as connection:
            found = use(Client(connection))
            return list(found) if isinstance(found, Iterator) else found

    def with_async_client(use: Callable[[Any], Any]) -> Any:
        async def main() -> Any:
            async with connect_async(target) as client:
                found = use(client)
                return [item async for item in found] if isinstance(found, AsyncIterator) else await found

        return asyncio.run(main())

    return with_client if request.param == "Client" else with_async_client
