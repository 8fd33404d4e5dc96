"""Errors over gRPC: the one table of codes, and both directions. Nothing else knows a gRPC code."""

from __future__ import annotations

import contextlib
import errno
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from neunets.errors import (
    BadCheckpoint,
    Busy,
    CallInFlight,
    Damaged,
    DeadlineExceeded,
    IllegalTransition,
    InvalidGraph,
    InvalidRequest,
    NeunetsError,
    NotFound,
    NotReady,
    Outdated,
    PermissionDenied,
    PluginFault,
    PluginUnavailable,
    RequestReused,
    RunNotOpen,
    SequenceGap,
    StaleEpoch,
    Unauthenticated,
    UnsupportedProblem,
)

__all__ = ["DOMAIN", "STATUS", "AioStatusInterceptor", "StatusInterceptor", "rpc_error"]

LOG: Final = logging.getLogger(__name__)
DOMAIN: Final = "synthesizer.neunets"
DETAILS_KEY: Final = "grpc-status-details-bin"
# gRPC drops answers whose trailers pass 8 KiB, and the message is in there twice, once percent-encoded.
LONGEST_MESSAGE: Final = 1024
LONGEST_VALUE: Final = 256
# What an operator does where the system gives a server no more.
EXHAUSTED: Final = {
    errno.EMFILE: "close connections to it, or start it with more open files (ulimit -n)",
    errno.ENFILE: "close programs that hold files open",
    errno.ENOMEM: "free memory",
    errno.EAGAIN: "end processes, or allow more (ulimit -u)",
}

Code: TypeAlias = grpc.StatusCode

STATUS: Final[Mapping[type[NeunetsError], tuple[Code, str]]] = MappingProxyType(
    {
        NeunetsError: (Code.INTERNAL, "INTERNAL"),
        InvalidRequest: (Code.INVALID_ARGUMENT, "BAD_FIELD"),
        InvalidGraph: (Code.INVALID_ARGUMENT, "BAD_GRAPH"),
        NotFound: (Code.NOT_FOUND, "NOT_FOUND"),
        IllegalTransition: (Code.FAILED_PRECONDITION, "ILLEGAL_TRANSITION"),
        Outdated: (Code.ABORTED, "ETAG_MISMATCH"),
        RequestReused: (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
        UnsupportedProblem: (Code.FAILED_PRECONDITION, "UNSUPPORTED_PROBLEM"),
        RunNotOpen: (Code.FAILED_PRECONDITION, "RUN_NOT_OPEN"),
        StaleEpoch: (Code.ABORTED, "STALE_EPOCH"),
        CallInFlight: (Code.ABORTED, "IN_FLIGHT"),
        SequenceGap: (Code.OUT_OF_RANGE, "SEQ_GAP"),
        BadCheckpoint: (Code.DATA_LOSS, "BAD_CHECKPOINT"),
        Damaged: (Code.DATA_LOSS, "DAMAGED"),
        Busy: (Code.RESOURCE_EXHAUSTED, "BUSY"),
        NotReady: (Code.UNAVAILABLE, "NOT_READY"),
        PluginUnavailable: (Code.UNAVAILABLE, ""),  # the transport says so itself, and gives no reason
        PluginFault: (Code.INTERNAL, "PLUGIN_FAULT"),
        DeadlineExceeded: (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        Unauthenticated: (Code.UNAUTHENTICATED, "UNAUTHENTICATED"),
        PermissionDenied: (Code.PERMISSION_DENIED, "PERMISSION_DENIED"),
    }
)

_BY_REASON: Final = {entry: kind for kind, entry in STATUS.items()}
# A status with a reason that this version does not know: by its code alone.
_UNKNOWN_REASON: Final[Mapping[Code, type[NeunetsError]]] = {
    Code.INVALID_ARGUMENT: InvalidRequest,
    Code.RESOURCE_EXHAUSTED: Busy,
    Code.UNAVAILABLE: NotReady,
}
# A status that is not ours: from the transport, or from a server in another language that raised.
_WITHOUT_REASON: Final[Mapping[Code, type[NeunetsError]]] = {
    Code.CANCELLED: PluginUnavailable,
    Code.DEADLINE_EXCEEDED: DeadlineExceeded,
    Code.INVALID_ARGUMENT: InvalidRequest,
    Code.NOT_FOUND: NotFound,
    Code.PERMISSION_DENIED: PermissionDenied,
    Code.UNAUTHENTICATED: Unauthenticated,
    Code.UNAVAILABLE: PluginUnavailable,
}


def rpc_error(error: grpc.RpcError) -> NeunetsError:
    """The error that the other side raised, from a sync or an asyncio call's exception."""
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return PluginFault(f"a call failed without a status: {error!r}")
    code, message = error.code(), error.details() or error.code().name
    info, field, retry_after_s = _details(error.trailing_metadata())
    if info is None:
        told = _rebuilt(_WITHOUT_REASON.get(code, PluginFault), message, {}, field)
    else:
        by_code = _UNKNOWN_REASON.get(code) or _WITHOUT_REASON.get(code, PluginFault)
        told = _rebuilt(_BY_REASON.get((code, info.reason), by_code), message, dict(info.metadata), field)
    if retry_after_s:
        told.retry_after_s = retry_after_s
    return told


class StatusInterceptor(grpc.ServerInterceptor):
    """Turns what a servicer raises into a status; for threaded servers."""

    def __init__(self, admit: Callable[[grpc.ServicerContext], None] = lambda context: None) -> None:
        """`admit` raises where the caller may call nothing."""
        self._admit = admit

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        behavior, parsed = _behavior(handler), _parser(handler)
        method = handler_call_details.method

        def answer(request: Any, context: grpc.ServicerContext) -> object:
            try:
                self._admit(context)
                return behavior(map(parsed, request) if handler.request_streaming else parsed(request), context)
            except Exception as error:
                _abort(context, method, error)

        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[object]:
            try:
                self._admit(context)
                yield from behavior(map(parsed, request) if handler.request_streaming else parsed(request), context)
            except Exception as error:
                _abort(context, method, error)

        return _rewrapped(handler, stream if handler.response_streaming else answer)


class AioStatusInterceptor(grpc.aio.ServerInterceptor):
    """Turns what a servicer raises into a status; for asyncio servers."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        behavior, parsed = _behavior(handler), _parser(handler)
        method = handler_call_details.method

        async def each(requests: AsyncIterator[Any]) -> AsyncIterator[object]:
            async for request in requests:
                yield parsed(request)

        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> object:
            try:
                return await behavior(each(request) if handler.request_streaming else parsed(request), context)
            except Exception as error:
                await _abort_aio(context, method, error)

        async def stream(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[object]:
            try:
                given = each(request) if handler.request_streaming else parsed(request)
                async with contextlib.aclosing(behavior(given, context)) as messages:
                    async for message in messages:
                        yield message
            except Exception as error:
                await _abort_aio(context, method, error)

        if inspect.isasyncgenfunction(behavior):
            return _rewrapped(handler, stream)
        return _rewrapped(handler, answer) if inspect.iscoroutinefunction(behavior) else handler


def _abort(context: grpc.ServicerContext, method: str, error: Exception) -> NoReturn:
    if type(error) is Exception and not error.args:  # what `context.abort` raises
        raise error
    code, message, trailers = _status(method, error)
    context.set_trailing_metadata(trailers)
    context.abort(code, message)


async def _abort_aio(context: grpc.aio.ServicerContext[Any, Any], method: str, error: Exception) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    code, message, trailers = _status(method, error)
    await context.abort(code, message, trailers)


def _status(method: str, error: Exception) -> tuple[Code, str, tuple[tuple[str, bytes], ...]]:
    """(code, message, trailing metadata) of whatever a servicer raised; what is not ours is logged."""
    if isinstance(error, NotImplementedError):
        return Code.UNIMPLEMENTED, str(error) or f"{method} is not implemented", ()
    if isinstance(error, OSError) and error.errno in EXHAUSTED:
        LOG.error("%s raised: %s", method, error)
        error = Busy(f"this process has no more of what it needs ({error.strerror}): {EXHAUSTED[error.errno]}")
    if not isinstance(error, NeunetsError):
        LOG.error("%s raised", method, exc_info=error)
        error = NeunetsError(f"{type(error).__name__}: {error}")
    kind = next(kind for kind in type(error).__mro__ if kind in STATUS)
    code, reason = STATUS[kind]
    message = _shortened(error.message, LONGEST_MESSAGE) or kind.__name__
    status = status_pb2.Status(code=code.value[0], message=message)
    if reason or error.metadata:
        metadata = {name: _shortened(value, LONGEST_VALUE) for name, value in error.metadata.items()}
        info = error_details_pb2.ErrorInfo(domain=DOMAIN, reason=reason, metadata=metadata)
        status.details.add().Pack(info)
    if isinstance(error, InvalidRequest):
        bad = error_details_pb2.BadRequest()
        bad.field_violations.add(
            field=_shortened(error.field, LONGEST_VALUE), description=_shortened(message, LONGEST_VALUE)
        )
        status.details.add().Pack(bad)
    if error.retry_after_s:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(int(1000 * error.retry_after_s))
        status.details.add().Pack(retry)
    return code, message, ((DETAILS_KEY, status.SerializeToString()),)


def _details(metadata: Any) -> tuple[error_details_pb2.ErrorInfo | None, str, float]:
    """(our ErrorInfo, path of the first bad field, seconds to wait) in a call's trailing metadata.

    None, "" and 0 where there is none.
    """
    status = status_pb2.Status()
    for key, value in metadata or ():
        if key == DETAILS_KEY:
            try:
                status.ParseFromString(value)
            except DecodeError:
                return None, "", 0.0
    info, field, retry_after_s = error_details_pb2.ErrorInfo(), "", 0.0
    found = False
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            found |= detail.Unpack(info) and info.domain == DOMAIN
        bad = error_details_pb2.BadRequest()
        if detail.Is(bad.DESCRIPTOR) and detail.Unpack(bad) and bad.field_violations:
            field = bad.field_violations[0].field
        retry = error_details_pb2.RetryInfo()
        if detail.Is(retry.DESCRIPTOR) and detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
    return (info if found else None), field, retry_after_s


def _rebuilt(kind: type[NeunetsError], message: str, metadata: Mapping[str, str], field: str) -> NeunetsError:
    """As it was raised; the constructors write their fields into the message, so those are taken off first."""
    if kind is InvalidRequest:
        field = metadata.get("field", field)
        return InvalidRequest(field, message.removeprefix(f"{field}: ") if field else message)
    if kind is InvalidGraph:
        node, rule = metadata.get("node", ""), metadata.get("rule", "")
        text = message.removeprefix(f"{node or 'graph'}: ").removesuffix(f" [{rule}]")
        return InvalidGraph(node, rule, text)
    if kind is SequenceGap:
        applied = metadata.get("applied_seq", "")
        if not applied.isdecimal():
            return PluginFault(f"a gap in the sequence without applied_seq: {message}")
        return SequenceGap(int(applied), message)
    return kind(message, **metadata)


def _behavior(handler: grpc.RpcMethodHandler[Any, Any]) -> Callable[[object, object], Any]:
    behaviors: tuple[Any, ...] = (
        handler.unary_unary,
        handler.unary_stream,
        handler.stream_unary,
        handler.stream_stream,
    )
    behavior: Callable[[object, object], Any] = next(behavior for behavior in behaviors if behavior is not None)
    return behavior


def _parser(handler: grpc.RpcMethodHandler[Any, Any]) -> Callable[[bytes], object]:
    """The message in a request's bytes; gRPC itself answers bytes that are none with UNKNOWN or INTERNAL."""
    parse: Any = handler.request_deserializer

    def parsed(raw: bytes) -> object:
        try:
            return parse(raw)
        except DecodeError as error:
            raise InvalidRequest("", f"these {len(raw)} bytes are not the message of this call: {error}") from error

    return parsed if parse is not None else bytes


def _rewrapped(handler: grpc.RpcMethodHandler[Any, Any], behavior: Any) -> grpc.RpcMethodHandler[Any, Any]:
    make: Any = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    wrapped: grpc.RpcMethodHandler[Any, Any] = make(behavior, None, handler.response_serializer)  # see `_parser`
    return wrapped


def _shortened(text: str, most: int) -> str:
    """At most `most` bytes of UTF-8."""
    raw = text.encode(errors="replace")
    return text if len(raw) <= most else raw[: most - 4].decode(errors="ignore") + " …"
