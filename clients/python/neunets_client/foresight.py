"""Whether reading the data will leave a budget enough time, told from the first files."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from neunets.errors import InvalidRequest
from neunets.service.v1 import service_pb2

__all__ = ["Foresight"]

# Reading may take this part of the budget.
MOST: Final = 0.5
# The rate is measured from here on: the first files come slowly, while processes start.
SHORTEST_S, SHORTEST_SHARE = 2.0, 0.02
# Headers are read first, and pixels take at least as long again.
PASSES: Final = {"measuring": 2.0}


class Foresight:
    """Estimates from progress when the reading will end."""

    def __init__(self, budget_s: float | None, field: str, now: Callable[[], float]) -> None:
        """`now`: seconds since the budget began; None: there is none."""
        self._budget_s = budget_s
        self._field = field
        self._now = now
        self._stage = ""
        self._begin_s = 0.0
        self._done = 0

    def tell(self, progress: service_pb2.ReadProgress) -> None:
        """Raises: InvalidRequest once reading is to take most of the budget."""
        now_s = self._now()
        if progress.stage != self._stage:
            self._stage, self._begin_s, self._done = progress.stage, now_s, progress.done
            return
        spent_s, done = now_s - self._begin_s, progress.done - self._done
        if self._budget_s is None or done <= 0 or spent_s < max(SHORTEST_S, SHORTEST_SHARE * self._budget_s):
            return
        passes = PASSES.get(progress.stage, 1.0)
        left = max(0, progress.total - progress.done) + (passes - 1.0) * progress.total
        whole_s = now_s + left * spent_s / done
        if whole_s > MOST * self._budget_s:
            text = f"reading the data takes about {whole_s:.0f} s of the budget of {self._budget_s:g} s"
            found = f"by the first {progress.done:,} of {progress.total:,} examples"
            fix = f"give {math.ceil(whole_s / MOST / 10) * 10} s or more, or less data"
            raise InvalidRequest(self._field, f"{text}, {found}: {fix}")
