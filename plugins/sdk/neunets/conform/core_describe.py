"""What a plugin says of itself, and what it owes whoever started it."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from jsonschema import Draft202012Validator, SchemaError

from neunets.conform.bench import Bench
from neunets.conform.check import Check, Level, Violation
from neunets.ops import OPERATORS
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["CHECKS", "SERVICE", "said"]

SERVICE: Final = pb.DESCRIPTOR.services_by_name["Synthesizer"].full_name
DESCRIBE_S, HEALTH_S, PATIENT_S = 5.0, 2.0, 30.0
MOST_SCHEMA_BYTES: Final = 64 << 10
LARGEST_BATCH: Final = 64
NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
REFLECTIONS: Final = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


def _in_time(bench: Bench) -> None:
    bench.exchange.describe(DESCRIBE_S).value()


def _stable(bench: Bench) -> None:
    first, second = (said(bench) for _ in range(2))
    if first != second:
        raise Violation("two calls of Describe were answered differently")


def _schema(bench: Bench) -> None:
    text = said(bench).settings_schema_json
    if len(text.encode()) > MOST_SCHEMA_BYTES:
        raise Violation(f"settings_schema_json has {len(text.encode()):,} bytes, at most {MOST_SCHEMA_BYTES:,} may be")
    try:
        schema: Any = json.loads(text)
        Draft202012Validator.check_schema(schema)
    except (ValueError, SchemaError) as error:
        raise Violation(f"settings_schema_json is no JSON Schema 2020-12: {str(error).splitlines()[0]}") from error


def _name(bench: Bench) -> None:
    name = said(bench).name
    if not NAME.fullmatch(name):
        raise Violation(f"{name!r} is no name: lower case letters, digits and '-'")


def _batch(bench: Bench) -> None:
    batch = said(bench).max_batch
    if not 1 <= batch <= LARGEST_BATCH:
        raise Violation(f"max_batch is {batch}, not within 1..{LARGEST_BATCH}")


def _ops(bench: Bench) -> None:
    ops = said(bench).graph_ops
    unknown = sorted(set(ops) - set(OPERATORS))
    if not ops or unknown:
        raise Violation(f"graph_ops names {', '.join(unknown) or 'nothing'}: there is {', '.join(OPERATORS)}")


def _health(bench: Bench) -> None:
    stub = health_pb2_grpc.HealthStub(bench.plugin.channel())
    for name in ("", SERVICE):
        try:
            found = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=HEALTH_S).status
        except grpc.RpcError as error:
            code = error.code().name if isinstance(error, grpc.Call) else repr(error)
            raise Violation(f"the health of {name!r} is refused with {code}") from error
        if found != health_pb2.HealthCheckResponse.SERVING:
            raise Violation(f"the health of {name!r} is {health_pb2.HealthCheckResponse.ServingStatus.Name(found)}")


def _reflection(bench: Bench) -> None:
    """Both versions have the same messages."""
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    for service in REFLECTIONS:
        call = bench.plugin.channel().stream_stream(
            f"/{service}/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        try:
            response = next(iter(call(iter([request]), timeout=DESCRIBE_S)))
        except grpc.RpcError:
            continue
        listed = [entry.name for entry in response.list_services_response.service]
        if SERVICE not in listed:
            raise Violation(f"reflection lists {', '.join(listed)}, without {SERVICE}")
        return
    raise Violation(f"there is neither {REFLECTIONS[0]} nor {REFLECTIONS[1]}")


def said(bench: Bench) -> pb.DescribeResponse:
    """How long it takes is the first check's matter."""
    return bench.exchange.describe(PATIENT_S).value()


CHECKS: Final = (
    Check("core/describe-in-time", "Describe is answered within 5 s.", Level.CORE, _in_time),
    Check("core/describe-stable", "Describe answers the same each time.", Level.CORE, _stable),
    Check(
        "core/describe-schema", "settings_schema_json is a JSON Schema 2020-12 of at most 64 KiB.", Level.CORE, _schema
    ),
    Check("core/describe-name", "The name is lower case letters, digits and '-', as in DNS.", Level.CORE, _name),
    Check("core/describe-batch", "max_batch is within 1..64.", Level.CORE, _batch),
    Check("core/describe-ops", "graph_ops names operators of the IR, at least one.", Level.CORE, _ops),
    Check("core/health", f"Health is SERVING for '' and '{SERVICE}'.", Level.CORE, _health),
    Check("core/reflection", "Server reflection lists the service.", Level.CORE, _reflection),
)
