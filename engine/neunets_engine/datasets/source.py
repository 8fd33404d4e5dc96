"""What a reader returns, and how it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

from neunets.errors import InvalidRequest

__all__ = ["Examples", "Source", "refusal"]

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Examples:
    x: Array  # (N, H, W, C) uint8 or (N, L, C) float32
    y: Array  # (N,) int64, an index into the classes


@dataclass(frozen=True, slots=True)
class Source:
    """`test` is None where the source has no test set."""

    classes: tuple[str, ...]
    train: Examples
    test: Examples | None
    warnings: tuple[str, ...] = ()


def refusal(what: object, fault: str, fix: str) -> InvalidRequest:
    """`what`: the file, or the array in it."""
    return InvalidRequest("source", f"{what}: {fault}; {fix}")
