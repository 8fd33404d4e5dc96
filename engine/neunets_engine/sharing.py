"""The trials that wait, by run, and whose turn it is: each run gets its share of the slots, and one worker at least."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

__all__ = ["WaitingTrials"]

# Workers beside those of the slots: a process is a few hundred megabytes. Runs beyond wait for their turn.
MOST_EXTRA: Final = 8


class WaitingTrials:
    """The waiting trials of all runs, in the order in which each has added them."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._deadlines: dict[str, float] = {}  # by run, of those that are open, in the order of their opening
        self._trials: dict[str, list[str]] = {}  # by run

    def __bool__(self) -> bool:
        return any(self._trials.values())

    def open(self, run_id: str, deadline: float = math.inf) -> None:
        """`deadline`: monotonic seconds by which the run is to be done."""
        self._deadlines[run_id] = deadline

    def close(self, run_id: str) -> None:
        self._deadlines.pop(run_id, None)
        self._trials.pop(run_id, None)

    def add(self, run_id: str, *trials: str) -> None:
        """Those that do not wait yet."""
        waiting = self._trials.setdefault(run_id, [])
        known = set(waiting)
        waiting += [trial for trial in trials if trial not in known]

    def put_back(self, run_id: str, *trials: str) -> None:
        """Make them the next ones."""
        self._trials.setdefault(run_id, [])[:0] = trials

    def take(self, run_id: str, count: int) -> list[str]:
        """The next ones, at most `count`."""
        waiting = self._trials.get(run_id, [])
        taken, waiting[:] = waiting[:count], waiting[count:]
        return taken

    def drop(self, run_id: str) -> None:
        self._trials.pop(run_id, None)

    def of(self, run_id: str) -> int:
        return len(self._trials.get(run_id, ()))

    @property
    def share(self) -> int:
        """Slots of each open run."""
        return max(1, self._slots // max(1, len(self._deadlines)))

    @property
    def workers(self) -> int:
        """Workers that are needed, so that each open run has one even while others keep theirs for long."""
        return self._slots + min(max(0, len(self._deadlines) - 1), MOST_EXTRA)

    def turn(self, held: Mapping[str, int]) -> str | None:
        """The run whose trial a free worker gets; None: whose trials wait have their share. `held`: workers by run.

        Runs without a worker come first, of equals the one with the earliest deadline. A second worker is given only
        where enough are left for those that have none.
        """
        waiting = [run_id for run_id, trials in self._trials.items() if trials]
        if not waiting:
            return None
        run_id = min(waiting, key=lambda each: (held.get(each, 0), self._deadlines.get(each, math.inf)))
        if len(self._deadlines) < 2 or not held.get(run_id, 0):
            return run_id
        without = sum(not held.get(each, 0) for each in self._deadlines)
        free = self.workers - sum(held.values())
        return run_id if held[run_id] < self.share and free > without else None
