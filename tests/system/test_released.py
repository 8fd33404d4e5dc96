"""Programs that were built from the released protos still work: today's engine is driven with those alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from neunets_client.connection import Connection

RELEASED = Path(__file__).resolve().parents[2] / "protos/released.binpb"
PACKAGE = "neunets.service.v1"
DEADLINE_S = 120.0


class Released:
    """The service API, known from the released descriptors and from nothing else."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(RELEASED.read_bytes()).file:
            self._pool.Add(file)

    def call(self, service: str, method: str, /, **fields: Any) -> Any:
        return self._method(service, method, self._channel.unary_unary)(**fields)

    def stream(self, service: str, method: str, /, **fields: Any) -> Iterator[Any]:
        answers: Iterator[Any] = self._method(service, method, self._channel.unary_stream)(**fields)
        return answers

    def _method(self, service: str, name: str, kind: Any) -> Any:
        method = self._pool.FindServiceByName(f"{PACKAGE}.{service}").methods_by_name[name]
        asked, answer = (message_factory.GetMessageClass(each) for each in (method.input_type, method.output_type))
        call = kind(
            f"/{PACKAGE}.{service}/{name}",
            request_serializer=asked.SerializeToString,
            response_deserializer=answer.FromString,
        )
        return lambda **fields: call(asked(**fields), timeout=DEADLINE_S)


@pytest.fixture
def released(connection: Connection) -> Released:
    return Released(connection.channel)


def test_the_released_protos_drive_a_whole_run(released: Released, images: Path) -> None:
    *_, last = released.stream("Datasets", "Register", source=str(images))
    dataset = last.dataset
    assert list(dataset.class_rows)
    spec = {"dataset": dataset.name, "synthesizer": "random", "trials": 2}
    run = released.call("Runs", "Create", request_id="00000000-0000-4000-8000-000000000001", spec=spec)
    sequence = [
        response.event.seq for response in released.stream("Runs", "Watch", name=run.name) if response.event.seq
    ]
    assert sequence == list(range(1, len(sequence) + 1))
    run = released.call("Runs", "Get", name=run.name)
    assert run.model, run.reason
    exported = released.call("Models", "Export", name=run.model).model
    onnx = next(artifact.ref for artifact in exported.artifacts if artifact.file == "model.onnx")
    parts = released.stream("Models", "Download", name=run.model, file="model.onnx")
    assert sum(len(part.data) for part in parts) == onnx.size
    assert [listed.name for listed in released.call("Runs", "List", page_size=1000).runs if listed.name == run.name]
