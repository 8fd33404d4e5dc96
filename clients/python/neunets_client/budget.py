"""A budget of time as people write it."""

from __future__ import annotations

import re
from typing import Final

from neunets.errors import InvalidRequest

__all__ = ["seconds"]

UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
FORM: Final = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")
PART: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def seconds(text: str) -> float:
    """Of "90s", "5m", "1.5h", "1h30m", or a plain number of seconds. Raises: InvalidRequest."""
    lower = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", lower):
        return float(lower)
    if not FORM.fullmatch(lower):
        raise InvalidRequest("--budget", f"{text!r} is no time: write 90s, 5m, 1.5h or 1h30m")
    return sum(float(number) * UNITS[unit] for number, unit in PART.findall(lower))
