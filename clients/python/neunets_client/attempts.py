"""When a call that failed is made again, by the error table of the contract. Every call of the service may be."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from neunets.errors import DeadlineExceeded, NeunetsError, NotReady, PluginUnavailable

__all__ = ["Attempts", "Patience"]

FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 5.0
# Clients that lost the same engine do not come back all at once: a wait is this fraction shorter, at most.
JITTER: Final = 0.5


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long a call is repeated from its first failure on.

    An engine that is gone may be started again by somebody. One that says itself that it is not ready starts or
    drains, which takes seconds; of what lasts, such as a full disk, its user should hear soon.
    """

    lost_s: float = 60.0
    unready_s: float = 10.0


class Attempts:
    """Of one call. `deadline_s` is that of its next attempt."""

    def __init__(self, deadline_s: float, patience: Patience, rng: random.Random) -> None:
        self.deadline_s = deadline_s
        self._first_deadline_s = deadline_s
        self._patience = patience
        self._rng = rng
        self._failing_since: float | None = None
        self._failures = 0

    @property
    def are_repeated(self) -> bool:
        return self._failing_since is not None or self.deadline_s != self._first_deadline_s

    def failed(self, error: NeunetsError, now: float) -> float:
        """Seconds to wait before the next attempt, for an attempt that failed at `now`.

        Raises: `error` where there is none; NotReady for an engine that does not answer.
        """
        if isinstance(error, DeadlineExceeded) and self.deadline_s == self._first_deadline_s:
            self.deadline_s *= 2
            return 0.0
        if not isinstance(error, NotReady | PluginUnavailable):
            raise error
        is_lost = isinstance(error, PluginUnavailable)
        self._failing_since = now if self._failing_since is None else self._failing_since
        wait_s = max(self._wait_s(), error.retry_after_s)
        if now + wait_s > self._failing_since + (self._patience.lost_s if is_lost else self._patience.unready_s):
            raise NotReady(f"the engine does not answer: {error.message}") if is_lost else error
        return wait_s

    def succeeded(self) -> None:
        """Something new has come: what failed before is over."""
        self._failing_since, self._failures, self.deadline_s = None, 0, self._first_deadline_s

    def _wait_s(self) -> float:
        longest_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**self._failures)
        self._failures = min(self._failures + 1, 16)  # beyond any wait, and no power overflows
        return longest_s * (1.0 - JITTER * self._rng.random())
