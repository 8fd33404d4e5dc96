"""What is kept of synthesizers: conformance, which of them take no new runs, and who may come from other hosts."""

from __future__ import annotations

from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets_engine.store.environment import Environment, Writer

__all__ = ["SynthesizerStore"]

TABLE = "synthesizers"


class SynthesizerStore:
    """In the same files as everything else; made by `Store`."""

    def __init__(self, environment: Environment) -> None:
        self._env = environment

    async def put_conformance(self, name: str, found: service_pb2.Conformance) -> None:
        """Of the version that `found` names; in place of what was found of it before."""

        def work(writer: Writer) -> None:
            writer.put(TABLE, _conformance_key(name, found.version), found.SerializeToString())

        await self._env.write(work)

    def conformance(self, name: str, version: str) -> service_pb2.Conformance | None:
        with self._env.read() as reader:
            value = reader.get(TABLE, _conformance_key(name, version))
        return None if value is None else service_pb2.Conformance.FromString(value)

    async def set_draining(self, name: str, is_draining: bool) -> None:
        def work(writer: Writer) -> None:
            if is_draining:
                writer.put(TABLE, _draining_key(name), b"1")
            else:
                writer.delete(TABLE, _draining_key(name))

        await self._env.write(work)

    def is_draining(self, name: str) -> bool:
        with self._env.read() as reader:
            return reader.get(TABLE, _draining_key(name)) is not None

    async def put_enrolment(self, record: store_pb2.EnrolmentRecord) -> None:
        """In place of an earlier one of the same name."""
        await self._env.write(lambda writer: writer.put(TABLE, _enrolment_key(record.name), record.SerializeToString()))

    def enrolment(self, name: str) -> store_pb2.EnrolmentRecord | None:
        with self._env.read() as reader:
            value = reader.get(TABLE, _enrolment_key(name))
        return None if value is None else store_pb2.EnrolmentRecord.FromString(value)

    def enrolments(self) -> list[store_pb2.EnrolmentRecord]:
        """By name."""
        with self._env.read() as reader:
            rows = reader.scan(TABLE, _enrolment_key(""), b"enrolled0")
            return [store_pb2.EnrolmentRecord.FromString(value) for _, value in rows]


def _conformance_key(name: str, version: str) -> bytes:
    return f"conformance/{name}/{version}".encode()


def _enrolment_key(name: str) -> bytes:
    return f"enrolled/{name}".encode()


def _draining_key(name: str) -> bytes:
    return f"draining/{name}".encode()
