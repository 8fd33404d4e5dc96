"""The synthesizers that are installed here: entry points of the group `neunets.synthesizers`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Final

__all__ = ["GROUP", "Manifest", "installed", "parse_manifest"]

GROUP: Final = "neunets.synthesizers"


@dataclass(frozen=True, slots=True)
class Manifest:
    """How a synthesizer is started."""

    name: str
    command: tuple[str, ...]


def installed() -> Mapping[str, Manifest]:
    """Name → manifest. An entry point names a module, which is run with this interpreter (`python -m module`)."""
    return {
        point.name: Manifest(point.name, (sys.executable, "-m", point.value.partition(":")[0]))
        for point in entry_points(group=GROUP)
    }


def parse_manifest(text: str) -> Manifest:
    """Of "NAME=COMMAND". Raises: ValueError."""
    name, _, command = text.partition("=")
    words = tuple(shlex.split(command))
    if not name or not words:
        raise ValueError(f"{text!r} is not of the form NAME=COMMAND")
    return Manifest(name, words)
