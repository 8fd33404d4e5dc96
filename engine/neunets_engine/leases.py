"""One attempt of a trial on one worker, and how long its engine waits for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from neunets.sentences import sentence
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.worker.v1 import worker_pb2

__all__ = ["ENDED", "Lease", "Patience", "deadline_s", "given_up"]

ENDED = synthesizer_pb2.TrialEnded

# A job that has not ended by then is given up: this many times its seconds, and as much again for its start.
DEADLINE_FACTOR: Final = 2.0
DEADLINE_EXTRA_S: Final = 60.0
# Where a recipe counts epochs, a network that is this slow is not waited for.
EPOCHS_DEADLINE_S: Final = 24 * 3600.0
# Times the longest wait for a report so far, which are no sign that a job hangs: a validation falls into one such
# wait, and the evaluation at the end, over validation and test set, has none at all.
SLOWEST_FACTOR: Final = 20.0
# Times the patience for the first report: data are read and kernels built before, and some jobs only evaluate.
FIRST_FACTOR: Final = 5.0


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a worker may be silent: at all, and, while its heartbeats go on, without a report."""

    heartbeat_s: float = 15.0
    report_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Lease:
    """One attempt of a trial on one worker. Times are monotonic seconds."""

    run_id: str
    trial: str
    attempt: int
    worker: str
    order: worker_pb2.Order.ValueType = worker_pb2.ORDER_CONTINUE
    seen: float = 0.0  # the last sign of life
    reported: float = 0.0  # the last report; before the first one, the start
    slowest_s: float | None = None  # the longest wait for a report; None before the first one
    ends: float = math.inf

    def hangs(self, now: float, patience: Patience) -> str:
        """Why the job can be taken for one that hangs, or ""."""
        if now > self.ends:
            return "it was not done by its deadline"
        if self.slowest_s is None:
            limit_s = FIRST_FACTOR * patience.report_s
        else:
            limit_s = max(patience.report_s, SLOWEST_FACTOR * self.slowest_s)
        return f"no report within the deadline of {limit_s:g} s" if now - self.reported > limit_s else ""


def deadline_s(recipe: synthesizer_pb2.Recipe) -> float:
    """Device seconds, over all attempts, after which a trial is given up."""
    timed = recipe.WhichOneof("total") == "device_s"
    return DEADLINE_FACTOR * recipe.device_s + DEADLINE_EXTRA_S if timed else EPOCHS_DEADLINE_S


def given_up(
    record: store_pb2.TrialRecord, state: ENDED.State.ValueType, code: str, why: str, retry: bool = False
) -> synthesizer_pb2.TrialEnded:
    """The end of the record's attempt, as its engine found it."""
    severity = synthesizer_pb2.Diagnostic.SEVERITY_WARNING if retry else synthesizer_pb2.Diagnostic.SEVERITY_ERROR
    return ENDED(
        candidate=record.candidate, trial=record.trial, attempt=record.attempt, state=state, device_s=record.device_s,
        error=synthesizer_pb2.Diagnostic(severity=severity, code=code, summary=sentence(why)), will_retry=retry,
    )  # fmt: skip
