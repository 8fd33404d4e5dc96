"""A budget of time as people write it."""

from __future__ import annotations

import re
from typing import Final

from neunets.errors import InvalidRequest

__all__ = ["SHORTEST_BUDGET_S", "left_s", "seconds"]

# Between the end of a run and the end of the command: download, and the engine's own end.
CLOSING_S: Final = 1.0
# The second as the engine wants it; refused here in the words of the user's option.
SHORTEST_BUDGET_S, SHORTEST_RUN_S = 10.0, 5.0

UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
FORM: Final = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")
PART: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def seconds(text: str, field: str = "--budget") -> float:
    """Of "90s", "5m", "1.5h", "1h30m", or a plain number of seconds. Raises: InvalidRequest of `field`."""
    lower = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", lower):
        return float(lower)
    if not FORM.fullmatch(lower):
        raise InvalidRequest(field, f"{text!r} is no time: write 90s, 5m, 1.5h or 1h30m")
    return sum(float(number) * UNITS[unit] for number, unit in PART.findall(lower))


def left_s(budget_s: float, used_s: float, field: str = "--budget") -> float:
    """Of a budget, for the run itself. Raises: InvalidRequest of `field`."""
    left = budget_s - used_s - CLOSING_S
    if left < SHORTEST_RUN_S:
        text = (
            f"{budget_s:g} s are too few: reading the data took {used_s:.0f} s, give {used_s + SHORTEST_BUDGET_S:.0f} s"
        )
        raise InvalidRequest(field, text)
    return left
