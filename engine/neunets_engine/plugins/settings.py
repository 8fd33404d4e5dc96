"""A run's settings against the schema that its plugin describes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format

from neunets.errors import InvalidRequest, PluginFault
from neunets.service.v1 import service_pb2

__all__ = ["SettingsCheck", "settings_of"]

CHECK: Final = Path(__file__).with_name("schema_check.py")
CHECK_S: Final = 5.0
# Settings that were checked before need no process.
REMEMBERED: Final = 64
MESSAGE_LETTERS: Final = 512
SETTINGS_BYTES: Final = 64 << 10


def settings_of(spec: service_pb2.RunSpec) -> Mapping[str, Any]:
    """The settings as JSON. Raises: InvalidRequest where they are none, or too large."""
    if (size := spec.settings.ByteSize()) > SETTINGS_BYTES:
        raise InvalidRequest("spec.settings", f"{size:,} bytes, at most {SETTINGS_BYTES:,} are possible")
    try:
        found: Mapping[str, Any] = json_format.MessageToDict(spec.settings)
        json.dumps(found, allow_nan=False)
    except (
        ValueError,
        RecursionError,
        json_format.Error,
    ) as error:  # a NaN, a value without a kind
        raise InvalidRequest("spec.settings", f"they are no JSON: {error}") from error
    return found


class SettingsCheck:
    """Remembers what it has checked."""

    def __init__(self, within_s: float = CHECK_S) -> None:
        self._within_s = within_s
        self._good = dict[tuple[str, str], None]()

    async def check(self, plugin: str, schema: str, settings: Mapping[str, Any]) -> None:
        """Raises: InvalidRequest for the settings; PluginFault for a schema that is none, or takes too long."""
        key = (schema, json.dumps(settings, sort_keys=True))
        if not schema or key in self._good:
            return
        answer = await _asked(plugin, f'{{"schema": {schema}, "settings": {key[1]}}}', self._within_s)
        if "fault" in answer:
            raise _fault(plugin, answer["fault"])
        if "error" in answer:
            raise InvalidRequest(".".join(["spec", "settings", *answer["path"]]), answer["error"][:MESSAGE_LETTERS])
        self._good[key] = None
        if len(self._good) > REMEMBERED:
            self._good.pop(next(iter(self._good)))


async def _asked(plugin: str, question: str, within_s: float) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        str(CHECK),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        answer, _ = await asyncio.wait_for(process.communicate(question.encode()), within_s)
    except TimeoutError:
        raise _fault(plugin, f"to check settings against it takes longer than {within_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise _fault(plugin, f"the check of settings against it ended with code {process.returncode}")
    found: dict[str, Any] = json.loads(answer)
    return found


def _fault(plugin: str, what: str) -> PluginFault:
    return PluginFault(f"synthesizer {plugin}: Describe.settings_schema_json: {what[:MESSAGE_LETTERS]}")
