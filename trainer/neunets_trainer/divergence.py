"""Trainings whose loss is a number, but tells that nothing will come of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

__all__ = ["Divergence"]

# Times the loss of guessing. A network that learns nothing stays near 1; label smoothing and weighted classes leave
# the loss of guessing where it is; a network that is confidently wrong for some steps passes 2, but comes back.
BOUND: Final = 5.0
# Of the whole training, after its warm-up: so long must the loss stay beyond the bound.
PATIENCE: Final = 0.1
# Reports in a row that have to agree: a training of few reports is not judged by one of them.
FEWEST_REPORTS: Final = 3


@dataclass(slots=True)
class Divergence:
    """Follows the mean training loss from report to report.

    While the rate still rises, and for a while at its peak, a large loss is common and recovers. It counts only after
    the warm-up, when the rate falls, and only if no report in `PATIENCE` of the training has come below the bound.
    """

    classes: int
    warmup: float  # fraction of the training
    _since: float | None = None  # progress at the first report of those in a row
    _reports: int = 0

    def of(self, progress: float, loss: float) -> str:
        """Why the training is over, or "" where it may go on. `progress`: 0..1; `loss`: mean since the last report."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        guessing = math.log(max(2, self.classes))
        if progress < self.warmup or loss <= BOUND * guessing:
            self._since, self._reports = None, 0
            return ""
        if self._since is None:
            self._since = progress
        self._reports += 1
        if self._reports < FEWEST_REPORTS or progress - self._since < PATIENCE:
            return ""
        return (
            f"the loss is {loss:.3g}, {loss / guessing:.1f} times that of guessing, "
            f"and has been beyond {BOUND:g} times since {self._since:.0%} of the training"
        )
