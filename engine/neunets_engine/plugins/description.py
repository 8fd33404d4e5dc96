"""What a plugin says of itself: checked once, when it registers, before anything is made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from neunets.errors import PluginFault
from neunets.synthesizer.v1 import synthesizer_pb2

__all__ = ["check_description", "is_waiting"]

TEXT_BYTES: Final = 256
SCHEMA_BYTES: Final = 64 << 10
MOST_ENTRIES: Final = 256
TEXTS: Final = ("name", "version", "vendor", "not_ready_reason", "summary")
LISTS: Final = ("capabilities", "tasks", "graph_ops")
REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
# What a schema says of values, which are no schemas.
VALUES: Final = frozenset({"const", "enum", "default", "examples"})


def check_description(plugin: str, description: synthesizer_pb2.DescribeResponse) -> None:
    """Raises: PluginFault, which names the field."""
    for field in TEXTS:
        text: str = getattr(description, field)
        if len(text.encode()) > TEXT_BYTES or not text.isprintable():
            found = f"has {len(text.encode())} bytes" if text.isprintable() else "has control characters"
            raise _fault(plugin, field, f"{found}: at most {TEXT_BYTES} bytes of printable text are possible")
    for field in LISTS:
        if (entries := len(getattr(description, field))) > MOST_ENTRIES:
            raise _fault(plugin, field, f"has {entries} entries: at most {MOST_ENTRIES} are possible")
    _check_schema(plugin, description.settings_schema_json)


def is_waiting(description: synthesizer_pb2.DescribeResponse) -> bool:
    """Whether the plugin asks for time before it is called."""
    return not description.ready and bool(description.not_ready_reason)


def _check_schema(plugin: str, text: str) -> None:
    if (size := len(text.encode())) > SCHEMA_BYTES:
        raise _fault(plugin, "settings_schema_json", f"has {size} bytes: at most {SCHEMA_BYTES} are possible")
    try:
        schema = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise _fault(plugin, "settings_schema_json", f"is no JSON: {error}") from error
    for reference in _references(schema):
        if not reference.startswith("#"):
            what = f"refers to {reference[:TEXT_BYTES]!r}: nothing is fetched"
            raise _fault(plugin, "settings_schema_json", f"{what}, so define it within the schema ($defs)")


def _references(schema: Any) -> Iterator[str]:
    """All of a schema; without recursion, since JSON may be nested deeply."""
    rest = [schema]
    while rest:
        part = rest.pop()
        if isinstance(part, list):
            rest += part
        elif isinstance(part, dict):
            yield from (part[key] for key in REFERENCES if isinstance(part.get(key), str))
            rest += [value for key, value in part.items() if key not in VALUES]


def _fault(plugin: str, field: str, what: str) -> PluginFault:
    return PluginFault(f"synthesizer {plugin}: Describe.{field} {what}")
