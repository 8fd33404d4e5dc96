"""Every call to the plugin, with what came back: kept, so that a failure can show the exchange."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import grpc
from google.protobuf import text_format
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from neunets.conform.check import Violation
from neunets.errors import InvalidRequest, NeunetsError
from neunets.status import DOMAIN, STATUS
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.synthesizer.v1 import synthesizer_pb2_grpc

__all__ = ["Answer", "Exchange", "Pending", "Status"]

# Calls that a failure shows, and characters of each message.
KEPT: Final = 6
LONGEST_TEXT: Final = 600
LONGEST_STRING: Final = 60
STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
# What no law asks for: the plugin is broken, gone or stuck, and whatever is asked of it fails alike.
BROKEN: Final = (
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNKNOWN,
)
DETAILS_KEY: Final = "grpc-status-details-bin"
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Status:
    """How a call ended. `fields`: paths of a BadRequest."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""
    domain: str = ""
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = f"{self.code.name}/{self.reason}" if self.reason else self.code.name
        return f"{named}: {_shortened(self.message)}" if self.message else named


@dataclass(frozen=True, slots=True)
class Answer(Generic[M]):
    """Of one call; `response` is None where it was refused."""

    method: str
    request: Message
    response: M | None
    status: Status
    seconds: float

    def value(self) -> M:
        """Raises: Violation if the call was refused."""
        if self.response is None:
            raise self._violation(f"{self.method} was refused with {self.status}")
        return self.response

    def refused(self, kind: type[NeunetsError], when: str) -> Status:
        """The refusal that the contract demands `when`: code, domain and reason. Raises: Violation."""
        code, reason = STATUS[kind]
        if self.response is not None:
            raise Violation(f"{self.method} {when} was answered; {code.name}/{reason} was due")
        if self.status.code is not code or self.status.reason != reason:
            raise self._violation(f"{self.method} {when} was refused with {self.status}; {code.name}/{reason} was due")
        if self.status.domain != DOMAIN:
            raise Violation(
                f"the ErrorInfo of {self.method} {when} has the domain {self.status.domain!r}, not {DOMAIN!r}"
            )
        return self.status

    def names(self, path: str) -> None:
        """INVALID_ARGUMENT, with a BadRequest that names `path`, its parent or its child. Raises: Violation."""
        code, _ = STATUS[InvalidRequest]
        if self.response is not None:
            raise Violation(f"{self.method} without {path} was answered; {code.name} was due")
        if self.status.code is not code:
            raise self._violation(f"{self.method} without {path} was refused with {self.status}; {code.name} was due")
        if not any(_are_related(_snake(found), path) for found in self.status.fields):
            found = ", ".join(self.status.fields) or "none"
            raise Violation(f"the BadRequest of {self.method} without {path} names {found}")

    def _violation(self, text: str) -> Violation:
        return Violation(text, f"{self.method} answers {self.status.code.name}" if self.status.code in BROKEN else "")

    def lines(self) -> tuple[str, str]:
        came = str(self.status) if self.response is None else _shown(self.response)
        return f"→ {self.method} {_shown(self.request)}", f"← {came} [{1000 * self.seconds:.0f} ms]"


class Pending(Generic[M]):
    """A call under way."""

    def __init__(self, method: str, request: Message, future: Any, keep: Callable[[Answer[Any]], None]) -> None:
        self._method, self._request, self._future, self._keep = method, request, future, keep
        self._begun = time.monotonic()

    def is_answered_within(self, seconds: float) -> bool:
        try:
            self._future.exception(timeout=seconds)
        except grpc.FutureTimeoutError:
            return False
        except grpc.FutureCancelledError:
            return True
        return True

    def cancel(self) -> None:
        self._future.cancel()

    def answer(self) -> Answer[M]:
        """Wait for it; a call ends with its deadline."""
        response, status = None, Status()
        try:
            response = self._future.result()
        except grpc.FutureCancelledError:
            status = Status(grpc.StatusCode.CANCELLED)
        except grpc.RpcError:
            status = _status(self._future)
        seconds = time.monotonic() - self._begun
        answer: Answer[M] = Answer(self._method, self._request, response, status, seconds)
        self._keep(answer)
        return answer


class Exchange:
    """The plugin's stub, as one check uses it; follows the plugin over restarts."""

    def __init__(self, channel: Callable[[], grpc.Channel]) -> None:
        self._channel = channel
        self._stubbed: tuple[grpc.Channel, synthesizer_pb2_grpc.SynthesizerStub] | None = None
        self._kept: deque[Answer[Any]] = deque(maxlen=KEPT)
        self._shown: list[str] = []

    def start(self, method: str, request: Message, deadline_s: float) -> Pending[Any]:
        future = getattr(self._stub(), method).future(request, timeout=deadline_s)
        return Pending(method, request, future, self._kept.append)

    def describe(self, deadline_s: float) -> Answer[pb.DescribeResponse]:
        return self.start("Describe", pb.DescribeRequest(engine_minor=0), deadline_s).answer()

    def open(self, request: pb.OpenRequest, deadline_s: float) -> Answer[pb.OpenResponse]:
        return self.start("Open", request, deadline_s).answer()

    def propose(self, request: pb.ProposeRequest, deadline_s: float) -> Answer[pb.ProposeResponse]:
        return self.start("Propose", request, deadline_s).answer()

    def ingest(self, request: pb.IngestRequest, deadline_s: float) -> Answer[pb.IngestResponse]:
        return self.start("Ingest", request, deadline_s).answer()

    def assess(self, request: pb.AssessRequest, deadline_s: float) -> Answer[pb.AssessResponse]:
        return self.start("Assess", request, deadline_s).answer()

    def close(self, request: pb.CloseRequest, deadline_s: float) -> Answer[pb.CloseResponse]:
        return self.start("Close", request, deadline_s).answer()

    def snapshot(self, request: pb.SnapshotRequest, deadline_s: float) -> tuple[list[bytes], Status]:
        """The chunks that came, and how the stream ended."""
        begun, chunks, status = time.monotonic(), list[bytes](), Status()
        stream = self._stub().Snapshot(request, timeout=deadline_s)
        try:
            chunks += [message.data for message in stream]
        except grpc.RpcError:
            status = _status(stream)
        last = pb.SnapshotResponse(data=b"".join(chunks)) if status.code is grpc.StatusCode.OK else None
        self._kept.append(Answer("Snapshot", request, last, status, time.monotonic() - begun))
        return chunks, status

    def _stub(self) -> synthesizer_pb2_grpc.SynthesizerStub:
        channel = self._channel()
        if self._stubbed is None or self._stubbed[0] is not channel:
            self._stubbed = channel, synthesizer_pb2_grpc.SynthesizerStub(channel)
        return self._stubbed[1]

    def lines(self) -> tuple[str, ...]:
        """The last calls, and what was shown, as text."""
        return (*(line for answer in tuple(self._kept) for line in answer.lines()), *self._shown)

    def show(self, name: str, message: Message) -> None:
        """A part of an earlier answer that a failure is about."""
        self._shown.append(f"{name}: {_shown(message)}")


def _status(call: Any) -> Status:
    """Of a call that failed."""
    status = status_pb2.Status()
    for key, value in call.trailing_metadata() or ():
        if key == DETAILS_KEY:
            try:
                status.ParseFromString(value)
            except DecodeError:
                break
    info, fields = error_details_pb2.ErrorInfo(), list[str]()
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
        bad = error_details_pb2.BadRequest()
        if detail.Is(bad.DESCRIPTOR) and detail.Unpack(bad):
            fields += [violation.field for violation in bad.field_violations]
    return Status(call.code(), call.details() or "", info.domain, info.reason, dict(info.metadata), tuple(fields))


def _are_related(found: str, path: str) -> bool:
    return found == path or path.startswith(f"{found}.") or found.startswith(f"{path}.")


def _snake(path: str) -> str:
    """A plugin may name a field as JSON does."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in path)


def _shown(message: Message) -> str:
    text = text_format.MessageToString(message, as_one_line=True)
    return _shortened(STRING.sub(lambda found: _abbreviated(found.group()), text))


def _abbreviated(string: str) -> str:
    return string if len(string) <= LONGEST_STRING else f'{string[:LONGEST_STRING]}…"'


def _shortened(text: str) -> str:
    """Without its middle, if it is long: what matters stands at the beginning or at the end."""
    half = LONGEST_TEXT // 2
    return text if len(text) <= LONGEST_TEXT else f"{text[:half]} … {text[-half:]}"
