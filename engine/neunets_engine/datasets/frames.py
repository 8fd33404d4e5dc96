"""What the process that reads a user's data tells the engine, over a pipe: kind, length, content."""

from __future__ import annotations

import asyncio
import json
import struct
import traceback
from enum import IntEnum
from typing import BinaryIO, Final

from neunets.errors import InvalidRequest, NeunetsError, NotReady
from neunets_engine.disk import DiskFull

__all__ = ["Kind", "error_of", "receive", "send", "told"]

HEAD: Final = struct.Struct(">BI")
LONGEST: Final = 64 << 20
LONGEST_TEXT: Final = 1 << 14
KINDS: Final[dict[str, type[NeunetsError]]] = {"NotReady": NotReady, "DiskFull": DiskFull}


class Kind(IntEnum):
    PROGRESS = 1  # a ReadProgress
    RESULT = 2
    ERROR = 3


def send(stream: BinaryIO, kind: Kind, content: bytes) -> None:
    stream.write(HEAD.pack(kind, len(content)) + content)
    stream.flush()


async def receive(stream: asyncio.StreamReader) -> tuple[Kind, bytes]:
    """Raises: IncompleteReadError where the other side has ended; ValueError for what no frame begins with."""
    kind, size = HEAD.unpack(await stream.readexactly(HEAD.size))
    if size > LONGEST:
        raise ValueError(f"a frame of {size} bytes")
    return Kind(kind), await stream.readexactly(size)


def told(error: BaseException) -> bytes:
    """The content of an ERROR; `error_of` is its opposite."""
    if isinstance(error, InvalidRequest):
        found = {"field": error.field, "message": error.message.removeprefix(f"{error.field}: ")}
    elif isinstance(error, NeunetsError):
        found = {"kind": type(error).__name__, "message": error.message}
    else:
        trace = "".join(traceback.format_exception(error))
        found = {"kind": "", "message": f"{type(error).__name__}: {error}", "trace": trace[-LONGEST_TEXT:]}
    return json.dumps({name: text[-LONGEST_TEXT:] for name, text in found.items()}).encode()


def error_of(content: bytes) -> tuple[NeunetsError, str]:
    """And the trace of what was no refusal, for the log."""
    found = json.loads(content)
    if "field" in found:
        return InvalidRequest(found["field"], found["message"]), ""
    return KINDS.get(found["kind"], NeunetsError)(found["message"]), found.get("trace", "")
