"""The one order of class names: text by letters, numbers within it by value."""

from __future__ import annotations

import re

__all__ = ["natural"]


def natural(name: str) -> tuple[object, ...]:
    """The key by which names are sorted: `2` before `10`, and `b2` before `b10`."""
    parts = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]
    return (*parts, (2, 0, name))
