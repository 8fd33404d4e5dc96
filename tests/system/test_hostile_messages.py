"""Every method of every service that the engine serves, with messages that no honest client sends."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines import engine
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.worker.v1 import worker_pb2

DEADLINE_S = 1.0
FAULTS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE)
SERVED = ("Runs", "Models", "Synthesizers", "Datasets"), ("Trainer", "PluginHost")
F = FieldDescriptor
NAMES = (
    "", "a", "runs/", "runs/none", "runs/none/models/t000001", "runs/" + "x" * 600, "datasets/" + "z" * 600, "x" * 511,
    "x" * 512, "../../etc/passwd", "\0", "\u202e\ufeff\x1b[2J", "a\nb", "state = COMPLETED", "metric desc", "AAAA", "=",
    "valid_accuracy", "conv", "image", "unix:relative", "0" * 64, "9" * 30, "/nowhere",
)  # fmt: skip
NUMBERS = {
    **dict.fromkeys((F.TYPE_INT32, F.TYPE_SINT32), (-(2**31), 2**31 - 1)),
    **dict.fromkeys((F.TYPE_INT64, F.TYPE_SINT64), (-(2**63), 2**63 - 1)),
    F.TYPE_UINT32: (0, 2**32 - 1),
    F.TYPE_UINT64: (0, 2**64 - 1),
}


def _scalar(field: FieldDescriptor, rng: random.Random) -> Any:
    if field.type == F.TYPE_STRING:
        return rng.choice(NAMES)
    if field.type == F.TYPE_BYTES:
        return rng.randbytes(rng.randrange(60))
    if field.type == F.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type in (F.TYPE_DOUBLE, F.TYPE_FLOAT):
        return rng.choice([0.0, -1.0, math.nan, math.inf, -math.inf, 3e38, 5e-324, 10.0])
    if field.type == F.TYPE_ENUM:
        return rng.choice([*(value.number for value in field.enum_type.values), 9999, -1])
    low, high = NUMBERS[field.type]
    return rng.choice([0, 1, 64, low, high, high - 1])


def _message(kind: type[Message], rng: random.Random, depth: int = 0) -> Message:
    message = kind()
    if isinstance(message, Struct):
        message.update({rng.choice(NAMES): rng.choice([1, "x", None, [1, [2]], {"a": {"b": 1}}, math.nan])})
        return message
    for field in kind.DESCRIPTOR.fields:
        if rng.random() < 0.3 or depth > 4:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            if value.message_type is None:
                getattr(message, field.name)[rng.choice(NAMES)] = _scalar(value, rng)
        elif field.message_type is not None:
            part = _message(GetMessageClass(field.message_type), rng, depth + 1)
            getattr(message, field.name).MergeFrom([part] if field.is_repeated else part)
        elif field.is_repeated:
            getattr(message, field.name).extend(_scalar(field, rng) for _ in range(rng.randrange(4)))
        else:
            setattr(message, field.name, _scalar(field, rng))
    return message


class _Engine:
    def __init__(self, service: grpc.Channel, host: grpc.Channel) -> None:
        self._health = health_pb2_grpc.HealthStub(service)
        kinds = (service_pb2, worker_pb2, synthesizer_pb2)
        services = [found for kind in kinds for found in kind.DESCRIPTOR.services_by_name.values()]
        self.methods = [
            (method, channel)
            for channel, names in zip((service, host), SERVED, strict=True)
            for found in services
            if found.name in names
            for method in found.methods
        ]

    def call(self, method: MethodDescriptor, channel: grpc.Channel, raw: bytes) -> grpc.StatusCode:
        kinds = ("unary", "stream")
        make = getattr(channel, f"{kinds[method.client_streaming]}_{kinds[method.server_streaming]}")
        name = f"/{method.containing_service.full_name}/{method.name}"
        call = make(name, request_serializer=bytes, response_deserializer=bytes)
        try:
            answer = call(iter([raw, raw]) if method.client_streaming else raw, timeout=DEADLINE_S)
            if method.server_streaming:
                list(islice(answer, 3))
                answer.cancel()
        except grpc.RpcError as error:
            return error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
        return grpc.StatusCode.OK

    def is_healthy(self) -> bool:
        answer = self._health.Check(health_pb2.HealthCheckRequest(), timeout=30.0)
        return answer.status == health_pb2.HealthCheckResponse.SERVING


@contextmanager
def _opened(home: Path) -> Iterator[_Engine]:
    with engine(home) as connection:
        host = next(home.glob("host-*.sock"))
        with grpc.insecure_channel(f"unix:{host}") as channel:
            yield _Engine(connection.channel, channel)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Engine]:
    with _opened(tmp_path_factory.mktemp("hostile")) as opened:
        yield opened


@settings(max_examples=12, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_what_no_honest_client_sends_is_refused_by_name(served: _Engine, seed: int) -> None:
    rng = random.Random(seed)
    for method, channel in served.methods:
        if method.name == "Lease":  # it waits, as it is asked to
            continue
        raw = _message(GetMessageClass(method.input_type), rng).SerializeToString()
        broken = bytearray(raw or b"\0")
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        for sent in (raw, bytes(broken), rng.randbytes(20)):
            assert served.call(method, channel, sent) not in FAULTS, (method.full_name, sent)
    assert served.is_healthy()
