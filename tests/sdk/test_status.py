"""Every error crosses the wire as what it was."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import pytest

from neunets import errors
from neunets.errors import (
    Busy,
    InvalidGraph,
    InvalidRequest,
    NeunetsError,
    NotReady,
    PluginFault,
    PluginUnavailable,
    SequenceGap,
    StaleEpoch,
)
from neunets.status import STATUS, AioStatusInterceptor, StatusInterceptor, rpc_error
from neunets.synthesizer.v1 import synthesizer_pb2, synthesizer_pb2_grpc

CLASSES = [getattr(errors, name) for name in errors.__all__]


class Unlisted(StaleEpoch):
    """A subclass that no table names."""


def sample(kind: type[NeunetsError]) -> NeunetsError:
    if kind is InvalidRequest:
        return InvalidRequest("spec.wall_s", "has to be above 0")
    if kind is InvalidGraph:
        return InvalidGraph("stage1/conv", "BAD_SHAPE", "größer als das Bild")
    if kind is SequenceGap:
        return SequenceGap(7, "event 8 is missing")
    error = kind("it broke", epoch="3", where="plugin")
    error.retry_after_s = 2.5
    return error


@dataclass
class Raiser(synthesizer_pb2_grpc.SynthesizerServicer):
    """Raises `error` from a unary and, after one message, from a streaming method."""

    error: Exception

    def Describe(self, request, context):
        raise self.error

    def Snapshot(self, request, context) -> Iterator[synthesizer_pb2.SnapshotResponse]:
        yield synthesizer_pb2.SnapshotResponse(data=b"x")
        raise self.error

    def Close(self, request, context):
        context.abort(grpc.StatusCode.UNAVAILABLE, "by hand")


@dataclass
class AioRaiser(synthesizer_pb2_grpc.SynthesizerServicer):
    error: Exception

    async def Describe(self, request, context):
        raise self.error

    async def Snapshot(self, request, context) -> AsyncIterator[synthesizer_pb2.SnapshotResponse]:
        yield synthesizer_pb2.SnapshotResponse(data=b"x")
        raise self.error

    async def Close(self, request, context):
        await context.abort(grpc.StatusCode.UNAVAILABLE, "by hand")

    async def Assess(self, request, context):
        raise NotImplementedError


Ask = Callable[[synthesizer_pb2_grpc.SynthesizerStub], object]


def failure_sync(error: Exception, folder: Path, ask: Ask) -> grpc.RpcError:
    server = grpc.server(futures.ThreadPoolExecutor(2), interceptors=[StatusInterceptor()])
    synthesizer_pb2_grpc.add_SynthesizerServicer_to_server(Raiser(error), server)
    server.add_insecure_port(f"unix:{folder}/s")
    server.start()
    try:
        with grpc.insecure_channel(f"unix:{folder}/s") as channel, pytest.raises(grpc.RpcError) as raised:
            ask(synthesizer_pb2_grpc.SynthesizerStub(channel))
        return raised.value
    finally:
        server.stop(None).wait()


def failure_aio(error: Exception, folder: Path, ask: Ask) -> grpc.RpcError:
    async def go() -> grpc.RpcError:
        server = grpc.aio.server(interceptors=[AioStatusInterceptor()])
        synthesizer_pb2_grpc.add_SynthesizerServicer_to_server(AioRaiser(error), server)
        server.add_insecure_port(f"unix:{folder}/s")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"unix:{folder}/s") as channel:
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await ask(synthesizer_pb2_grpc.SynthesizerStub(channel))
            return raised.value
        finally:
            await server.stop(None)

    return asyncio.run(go())


def describe(stub):
    return stub.Describe(synthesizer_pb2.DescribeRequest(), timeout=60)


def close(stub):
    return stub.Close(synthesizer_pb2.CloseRequest(), timeout=60)


def assess(stub):
    return stub.Assess(synthesizer_pb2.AssessRequest(), timeout=60)


def drain(stub):
    stream = stub.Snapshot(synthesizer_pb2.SnapshotRequest(), timeout=60)
    if hasattr(stream, "__aiter__"):

        async def go():
            return [message async for message in stream]

        return go()
    return list(stream)


CALLS = pytest.mark.parametrize(
    ("failure", "ask"),
    [(failure_sync, describe), (failure_sync, drain), (failure_aio, describe), (failure_aio, drain)],
    ids=["sync-unary", "sync-stream", "aio-unary", "aio-stream"],
)


def same(left: NeunetsError, right: NeunetsError) -> None:
    assert type(left) is type(right)
    assert left.message == right.message
    assert dict(left.metadata) == dict(right.metadata)
    for field in ("field", "node", "rule", "applied_seq", "retry_after_s"):
        assert getattr(left, field, None) == getattr(right, field, None)


def test_every_error_has_a_status():
    assert set(STATUS) == set(CLASSES)


def test_no_two_errors_share_code_and_reason():
    assert len(set(STATUS.values())) == len(STATUS)


@CALLS
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_arrives_as_it_was_raised(kind, failure, ask, tmp_path):
    error = sample(kind)
    raised = failure(error, tmp_path, ask)
    assert raised.code() is STATUS[kind][0]
    same(rpc_error(raised), error)


@pytest.mark.parametrize("failure", [failure_sync, failure_aio])
def test_a_status_without_reason_says_whether_the_peer_is_gone_or_broken(failure, tmp_path):
    gone = rpc_error(failure(PluginUnavailable("gone"), tmp_path, close))
    assert type(gone) is PluginUnavailable
    assert gone.message == "by hand"
    with grpc.insecure_channel(f"unix:{tmp_path}/nobody") as channel, pytest.raises(grpc.RpcError) as raised:
        describe(synthesizer_pb2_grpc.SynthesizerStub(channel))
    assert type(rpc_error(raised.value)) is PluginUnavailable


@pytest.mark.parametrize("failure", [failure_sync, failure_aio])
def test_what_is_not_implemented_says_so(failure, tmp_path):
    raised = failure(NotReady("unused"), tmp_path, assess)
    assert raised.code() is grpc.StatusCode.UNIMPLEMENTED
    assert type(rpc_error(raised)) is PluginFault


def test_a_subclass_outside_the_table_is_its_nearest_base(tmp_path):
    error = rpc_error(failure_sync(Unlisted("old", epoch="4"), tmp_path, describe))
    same(error, StaleEpoch("old", epoch="4"))


@CALLS
def test_any_other_exception_is_internal_and_logged_with_its_traceback(failure, ask, tmp_path, caplog):
    with caplog.at_level(logging.ERROR):
        raised = failure(KeyError("width"), tmp_path, ask)
    assert raised.code() is grpc.StatusCode.INTERNAL
    assert "KeyError: 'width'" in rpc_error(raised).message
    assert any(record.exc_info for record in caplog.records)


@CALLS
def test_a_long_message_is_cut_rather_than_lost(failure, ask, tmp_path):
    error = rpc_error(failure(PluginFault("ü" * 100_000, where="y" * 100_000), tmp_path, ask))
    assert type(error) is PluginFault
    assert error.message.startswith("üüü")


@pytest.mark.parametrize("failure", [failure_sync, failure_aio])
def test_a_server_that_the_system_gives_no_more_files_is_busy(failure, tmp_path: Path) -> None:
    told = rpc_error(failure(OSError(errno.EMFILE, os.strerror(errno.EMFILE)), tmp_path, describe))
    assert isinstance(told, Busy)
    assert "Too many open files" in told.message
    assert "ulimit -n" in told.message
