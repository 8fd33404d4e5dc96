"""The conformance kit as a process of its own, against an instance of a plugin that no run uses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from neunets.errors import InvalidRequest, NotReady
from neunets.service.v1 import service_pb2
from neunets_engine.kept import KeptProcess
from neunets_engine.plugins.catalog import Manifest

__all__ = ["LEVELS", "conform"]

LEVELS: Final = ("core", "recovery", "quality")
OUTCOMES: Final = {
    "passed": service_pb2.CheckOutcome.OUTCOME_PASSED,
    "failed": service_pb2.CheckOutcome.OUTCOME_FAILED,
    "skipped": service_pb2.CheckOutcome.OUTCOME_SKIPPED,
}
# A failed check brings its exchange, in one line.
LONGEST_LINE: Final = 4 << 20
LONGEST_REASON: Final = 64 << 10


async def conform(manifest: Manifest, level: str) -> AsyncIterator[service_pb2.CheckSynthesizerResponse]:
    """Every check as it ends, and the result last.

    Raises: InvalidRequest for an unknown level; NotReady where the plugin could not be started.
    """
    if level not in LEVELS:
        raise InvalidRequest("level", f"{level!r} is none of {', '.join(LEVELS)}")
    manifest.check_pins()
    command = [sys.executable, "-P", "-m", "neunets.conform", "--level", level, "--stream"]
    if manifest.endpoint:
        command += ["--endpoint", manifest.endpoint]
    else:
        command += ["--command", shlex.join(manifest.command), "--directory", str(manifest.directory or Path.cwd())]
    async with _pipe() as (told, printed), _pipe() as (complaints, complained):
        process = KeptProcess(command, os.environ, printed, errors=complained)
        os.close(printed)
        os.close(complained)
        complaint = asyncio.create_task(complaints.read())
        try:
            async for line in told:
                yield _response(json.loads(line))
            if await process.wait() not in (0, 1):
                said = (await complaint).decode(errors="replace").strip().splitlines()
                raise NotReady(f"{manifest.name} could not be checked: {said[-1] if said else 'the kit said nothing'}")
        finally:
            complaint.cancel()
            await process.end()  # with the plugin that the kit has started


@contextlib.asynccontextmanager
async def _pipe() -> AsyncIterator[tuple[asyncio.StreamReader, int]]:
    """Its end to read, and the descriptor to write, which is the receiver's to close."""
    read, written = os.pipe()
    reader = asyncio.StreamReader(LONGEST_LINE)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb"))
    try:
        yield reader, written
    finally:
        transport.close()


def _response(entry: dict[str, Any]) -> service_pb2.CheckSynthesizerResponse:
    if "id" in entry:
        outcome = OUTCOMES[entry["outcome"]]
        reason = "\n".join([entry["reason"], *entry.get("exchange", ())])[:LONGEST_REASON]
        check = service_pb2.CheckOutcome(id=entry["id"], outcome=outcome, law=entry["law"], reason=reason)
        return service_pb2.CheckSynthesizerResponse(check=check)
    result = service_pb2.Conformance(
        level=entry["level"],
        conformant=entry["conformant"],
        version=entry["plugin"]["version"],
        protocol=entry["protocol"],
        checks=entry["counts"]["checks"],
        failed=entry["failed"],
        skipped=entry["skipped"],
        summary=entry["summary"],
    )
    result.time.GetCurrentTime()
    return service_pb2.CheckSynthesizerResponse(result=result)
