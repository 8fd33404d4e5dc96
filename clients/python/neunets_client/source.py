"""The data of a command or a call, as the engine is told them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from neunets.errors import InvalidRequest

__all__ = ["is_text", "shown", "source_of"]


def source_of(data: str | Path, field: str) -> str:
    """The path that an engine on this machine reads, or the name of a data set. Raises: InvalidRequest of `field`."""
    path = Path(data).expanduser()
    with suppress(OSError, ValueError):  # what is no path is the engine's to judge
        data = path.resolve() if path.exists() else data
    text = str(data)
    if not is_text(text):
        raise InvalidRequest(field, f"{shown(text)} is no name in UTF-8: rename it, or a folder above it")
    return text


def is_text(name: str) -> bool:
    """Whether a file's name can be written in UTF-8: Python keeps other bytes as surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def shown(name: str) -> str:
    """For messages: what is no text is escaped."""
    return name.encode(errors="backslashreplace").decode()
