"""What a synthesizer that answers Wait asks for: so many new results, or so much time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from neunets.synthesizer.v1 import synthesizer_pb2

__all__ = ["SHORTEST_S", "Rest"]

# The least pause before a plugin is asked again, which doubles with each Wait in a row.
SHORTEST_S, MOST_BACK_OFF_S = 0.05, 5.0
# With nothing training a plugin is asked again after so long, whatever it asks for.
LONGEST_S: Final = 60.0


class Rest:
    """When the synthesizer of one run is asked for candidates again."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._results: int | None = None  # that have to have come; None: it does not wait
        self._until = 0.0  # infinite: it names no time
        self._pause_s = SHORTEST_S
        self._reason = ""

    def begin(self, wait: synthesizer_pb2.Wait, results: int) -> bool:
        """`results`: that the run has now. True: the plugin gives another reason than before."""
        if self._results is not None:
            self._pause_s = min(2 * self._pause_s, MOST_BACK_OFF_S)
        after_s = wait.after.ToMilliseconds() / 1000
        self._results = results + max(1, wait.min_new_results)
        self._until = self._monotonic() + max(after_s, self._pause_s) if after_s > 0 else float("inf")
        is_news, self._reason = wait.reason != self._reason, wait.reason
        return is_news

    def is_over(self, results: int) -> bool:
        return self._results is None or results >= self._results or self._monotonic() >= self._until

    def left_s(self) -> float:
        """Seconds until the plugin is asked again without a result; infinite: it is not."""
        return float("inf") if self._results is None else max(0.0, self._until - self._monotonic())

    def idle_s(self) -> float:
        """`left_s` where nothing trains, so that no result can come."""
        left_s = self.left_s()
        return self._pause_s if left_s == float("inf") else min(left_s, LONGEST_S)

    def end(self) -> None:
        """The plugin has answered something else."""
        self._results, self._pause_s, self._reason = None, SHORTEST_S, ""
