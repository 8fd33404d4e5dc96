"""Exit codes."""

from typing import Final

__all__ = ["CODES", "FAILED", "INTERRUPTED", "OK", "REFUSED", "UNREACHABLE"]

OK, FAILED, REFUSED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130

CODES: Final = (
    "Exit codes: 0 done; 1 run failed or paused, a format worse than allowed, or some files not read; 2 refused input; "
    "3 no engine answers; 130 interrupted, resumable."
)
