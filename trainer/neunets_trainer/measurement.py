"""How fast a device trains a small convolutional network, by number format, memory format and batch size.

A busy machine makes single times long, never short: all settings take turns, and the fastest turn of each counts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from neunets.machine import MemoryFormat, Precision
from neunets_trainer.precision import autocast, tensor_cores

__all__ = ["FLOPS", "Setting", "TrainingStep", "rates", "settings"]

ROUNDS: Final = 5
# Of a turn; where a step takes longer, a turn is one step.
TURN_S: Final = 0.01
BATCH: Final = 64
SHAPE: Final = (3, 24, 24)
CLASSES: Final = 10
# Of its two convolutions for one example.
FLOPS: Final = 2 * 3 * 3 * (3 * 32 * 24 * 24 + 32 * 64 * 12 * 12)
MEMORY_FORMATS: Final = {
    MemoryFormat.CONTIGUOUS: torch.contiguous_format,
    MemoryFormat.CHANNELS_LAST: torch.channels_last,
}


@dataclass(frozen=True, slots=True)
class Setting:
    precision: Precision
    memory_format: MemoryFormat
    batch: int = BATCH

    @property
    def form(self) -> str:
        return f"{self.precision.value} {self.memory_format.value}"


def settings(device: str) -> list[Setting]:
    """All formats that a device may train in."""
    is_cuda = device.startswith("cuda")
    precisions = [each for each in Precision if is_cuda or each is not Precision.TENSOR_FLOAT32]
    return [Setting(precision, memory_format) for precision in precisions for memory_format in MemoryFormat]


class TrainingStep:
    """Forward, backward and the plainest of optimizers, always on the same batch."""

    def __init__(self, setting: Setting, device: str) -> None:
        self._setting, self._device = setting, device
        memory_format = MEMORY_FORMATS[setting.memory_format]
        draws = torch.Generator().manual_seed(0)
        self._network = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(64, CLASSES),
        ).to(device).to(memory_format=memory_format)  # fmt: skip
        self._parameters: list[Tensor] = list(self._network.parameters())
        x = torch.randn(setting.batch, *SHAPE, generator=draws)
        self._x = x.to(device).contiguous(memory_format=memory_format)
        self._y = torch.zeros(setting.batch, dtype=torch.int64, device=device)

    def run(self) -> None:
        with tensor_cores(self._setting.precision):
            with autocast(self._setting.precision, self._device):
                logits = self._network(self._x)
            gradients = torch.autograd.grad(F.cross_entropy(logits.float(), self._y), self._parameters)
        with torch.no_grad():
            torch._foreach_add_(self._parameters, gradients, alpha=-1e-3)

    def images_per_s(self, until: float) -> float:
        """Steps until the clock `time.monotonic` says `until`, one at least, and waits for the device."""
        begin, steps = time.monotonic(), 0
        while not steps or time.monotonic() < until:
            self.run()
            steps += 1
        float(self._parameters[-1].detach().sum())
        return steps * self._setting.batch / (time.monotonic() - begin)


def rates(tried: Sequence[Setting], device: str) -> dict[Setting, float]:
    """Images per second of each; a setting that memory does not suffice for is left out."""
    steps: dict[Setting, TrainingStep] = {}
    for setting in tried:
        with suppress(torch.OutOfMemoryError):
            step = TrainingStep(setting, device)
            step.images_per_s(0.0)  # builds kernels
            steps[setting] = step
    best = dict.fromkeys(steps, 0.0)
    for _ in range(ROUNDS):
        for setting, step in steps.items():
            best[setting] = max(best[setting], step.images_per_s(time.monotonic() + TURN_S))
    return best
