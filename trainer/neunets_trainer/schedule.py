"""The learning rate over a training, and what ends the training: steps or the clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["ClockHorizon", "Horizon", "Schedule", "StepHorizon", "constant", "cosine_restarts", "one_cycle"]

# Of the peak, at both ends: a rate of zero would waste the step.
LOWEST: Final = 0.01
# Validations in a training by the clock, and the part of the time that they may take.
VALIDATIONS: Final = 10
VALIDATION_SHARE: Final = 0.1
# What a training step costs, in evaluation steps.
TRAINING_COST: Final = 3.0


class Schedule(Enum):
    ONE_CYCLE = "one_cycle"
    COSINE_RESTARTS = "cosine_restarts"
    CONSTANT = "constant"


def one_cycle(progress: float, peak: float, warmup: float) -> float:
    """Linear up to `peak` over the first `warmup` of the training, then linear down to almost 0.

    `progress` and `warmup` are fractions of the training.
    """
    rising = progress / warmup if progress < warmup else 1.0
    falling = (1.0 - progress) / (1.0 - warmup) if warmup < 1.0 else 1.0
    return peak * max(LOWEST, min(rising, falling, 1.0))


def cosine_restarts(progress: float, peak: float, cycles: int) -> float:
    """From `peak` almost to 0 along half a cosine, `cycles` times, each twice as long as the one before.

    Loshchilov and Hutter, arXiv:1608.03983, eq. 5, with T_mult = 2; T_0 follows from the length of the training.
    """
    place = progress * (2**cycles - 1) + 1.0  # the cycle that begins at place 2^n ends at 2^(n+1)
    cycle = min(int(math.log2(place)), cycles - 1)
    return peak * max(LOWEST, (1.0 + math.cos(math.pi * (place / 2**cycle - 1.0))) / 2)


def constant(epoch: float, peak: float, warmup: float) -> float:
    """Linear up to `peak` within the first `warmup` epochs, then the peak: it knows no end, and can be continued."""
    return peak * max(LOWEST, min(epoch / warmup, 1.0)) if epoch < warmup else peak


@dataclass(frozen=True, slots=True)
class StepHorizon:
    """So many steps; a validation at the same steps in each repetition."""

    steps: int
    steps_an_epoch: int
    steps_a_validation: float  # images of the validation split / batch size

    def progress(self, step: int, seconds: float) -> float:
        """At the middle of step number `step`, from 0."""
        return (step + 0.5) / max(1, self.steps)

    def is_over(self, step: int, seconds: float, step_s: float) -> bool:
        return step >= self.steps

    def validates(self, step: int, seconds: float, last_end_s: float, last_cost_s: float) -> bool:
        """After `step` steps: ten times a training or each epoch, unless that takes more than a tenth of the time."""
        wanted = min(self.steps_an_epoch, -(-self.steps // VALIDATIONS))
        affordable = math.ceil(self.steps_a_validation / TRAINING_COST / VALIDATION_SHARE)
        return step < self.steps and step % max(1, wanted, affordable) == 0


@dataclass(frozen=True, slots=True)
class ClockHorizon:
    """So many device seconds; training leaves `reserve_s` of them to the measurements at the end."""

    seconds: float
    reserve_s: float

    def progress(self, step: int, seconds: float) -> float:
        return min(1.0, seconds / max(self.seconds - self.reserve_s, 1e-9))

    def is_over(self, step: int, seconds: float, step_s: float) -> bool:
        """True where one more step would eat into the reserve; but a training has at least one step."""
        return step > 0 and seconds + step_s > self.seconds - self.reserve_s

    def validates(self, step: int, seconds: float, last_end_s: float, last_cost_s: float) -> bool:
        wait_s = max(self.seconds / VALIDATIONS, last_cost_s / VALIDATION_SHARE)
        return seconds - last_end_s >= wait_s and seconds + last_cost_s < self.seconds - self.reserve_s


Horizon = StepHorizon | ClockHorizon
