"""Whether this machine's workers start, and whether they survive what they train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from neunets.errors import NotReady

__all__ = ["Starts", "TrainerDown"]

# A worker that has ended so often in a row before it asked for a trial will do so again.
MOST_FAILED_STARTS: Final = 2
# Networks in a row of which each has cost several workers their lives, with nothing trained in between.
MOST_FATAL: Final = 2


class TrainerDown(NotReady):
    """No worker can train on this machine: mend what the message says, and resume the run."""


class Starts:
    """Counts the ends of workers; `down` is why none can be expected to train, until one asks for a trial."""

    def __init__(self) -> None:
        self.down: TrainerDown | None = None
        self._asked: set[str] = set()  # workers that run, and have asked for a trial
        self._failed: dict[str, int] = {}  # by worker: starts in a row
        self._fatal = 0
        self._warnings = list[str]()

    @property
    def warnings(self) -> Sequence[str]:
        """What the workers say of their devices, each once."""
        return tuple(self._warnings)

    def has_asked(self, worker: str) -> bool:
        return worker in self._asked

    def asked(self, worker: str, warning: str = "") -> None:
        """The worker has asked for a trial. `warning`: what it says of its device."""
        if warning and warning not in self._warnings:
            self._warnings.append(warning)
        self._asked.add(worker)
        self._failed.pop(worker, None)
        self.down = None

    def trained(self) -> None:
        """A worker has brought a trial to its end."""
        self._fatal = 0

    def ended(self, worker: str, why: str) -> TrainerDown | None:
        """The worker's process has ended; the error where that shows that none starts here."""
        if worker in self._asked:
            self._asked.discard(worker)
            return None
        self._failed[worker] = self._failed.get(worker, 0) + 1
        if self._failed[worker] < MOST_FAILED_STARTS or self._asked:
            return None
        self.down = TrainerDown(f"the trainer does not start: {why}")
        return self.down

    def lost_network(self, why: str) -> TrainerDown | None:
        """A network has cost several workers their lives; the error where that is not the network's fault."""
        self._fatal += 1
        return None if self._fatal < MOST_FATAL else TrainerDown(f"the trainer ends at each network: {why}")
