"""What a process that reads for the engine is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neunets_engine.datasets.bounds import Bounds

__all__ = ["Register", "Sheet", "Task"]


@dataclass(frozen=True, slots=True)
class Register:
    request: object  # a datasets.Request, which takes long to import
    source: str
    root: Path


@dataclass(frozen=True, slots=True)
class Sheet:
    """A contact sheet of a kept data set."""

    source: str
    folder: Path
    classes: tuple[str, ...]
    images_a_class: int


@dataclass(frozen=True, slots=True)
class Task:
    what: Register | Sheet
    bounds: Bounds
