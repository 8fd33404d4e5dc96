"""How long a run's trials take, and so how many of them a worker gets at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

__all__ = ["Batching"]

# About what it costs to lease a trial, to end it and to propose the next: shorter trials are handed out several at a
# time, and proposed before a worker waits for them.
BATCH_S: Final = 0.02
SHORTEST_S: Final = 1e-4
# Weight of the last measurement of how long a run's trials take.
NEWS: Final = 0.3


class Batching:
    """Sizes of batches, by the seconds that trials of each run have taken on a worker."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._usual_s: dict[str, float] = {}  # by run
        self._since: dict[str, float] = {}  # by worker: the last lease, or the end of a trial after it

    def begin(self, worker: str) -> None:
        """The worker trains from now on."""
        self._since[worker] = self._monotonic()

    def end(self, worker: str, run_id: str, trials: int) -> None:
        """The worker has trained so many trials of the run since it began, or since the last of it that have ended."""
        now = self._monotonic()
        seconds = (now - self._since.get(worker, now)) / trials
        before = self._usual_s.get(run_id, seconds)
        self._usual_s[run_id] = before + NEWS * (seconds - before)

    def close(self, run_id: str) -> None:
        """Forget the run."""
        self._usual_s.pop(run_id, None)

    def size(self, run_id: str) -> int:
        """Trials of the run that a worker trains in `BATCH_S`; 0: each takes longer, or none has ended yet."""
        return int(BATCH_S / max(self._usual_s.get(run_id, math.inf), SHORTEST_S))
