"""What is shown of one trial: its newest figures in a table, those of its end in a line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["ACCURACY", "COLUMNS", "LAST_COLUMNS", "LISTED", "Figure", "ShownTrial", "finite"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric that people follow: its name on the wire, what it is called, and how its value is written."""

    metric: str
    name: str
    write: Callable[[float], str]

    def text(self, metrics: Mapping[str, float]) -> str:
        """Empty where it was not measured."""
        value = finite(metrics, self.metric)
        return self.write(value) if value is not None else ""


def finite(metrics: Mapping[str, float], metric: str) -> float | None:
    """None where it was not measured, or is not a number."""
    value = metrics.get(metric, math.nan)
    return value if math.isfinite(value) else None


def _fraction(value: float) -> str:
    return f"{value:.4f}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value else ""  # a network that was only evaluated has none


LOSS: Final = Figure("train_loss", "loss", _fraction)
ACCURACY: Final = Figure("valid_accuracy", "validation", _fraction)
SPEED: Final = Figure("images_per_s", "images/s", _rate)
COLUMNS: Final = (LOSS, ACCURACY, SPEED)
# Where there is room.
LAST_COLUMNS: Final = (
    Figure("learning_rate", "rate", "{:.2g}".format),
    Figure("memory_bytes", "memory", lambda value: f"{value / 2**20:,.0f} MiB"),
)
MACRO_F1: Final = Figure("valid_macro_f1", "macro F1", _fraction)
LISTED: Final = (ACCURACY, MACRO_F1, SPEED)
LINE: Final = (
    LOSS,
    Figure("valid_accuracy", "validation accuracy", _fraction),
    Figure("valid_balanced_accuracy", "balanced accuracy", _fraction),
    MACRO_F1,
    Figure("test_accuracy", "test accuracy", _fraction),
    Figure("test_balanced_accuracy", "balanced test accuracy", _fraction),
    Figure("test_macro_f1", "test macro F1", _fraction),
)


@dataclass(slots=True)
class ShownTrial:
    """`metrics` are the newest values; `epochs` are those asked for, 0 where the training is measured in time."""

    candidate: str
    epochs: float = 0.0
    status: str = "training"
    epoch: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def learn(self, metrics: Mapping[str, float], epoch: float = 0.0) -> None:
        """What was not measured now keeps its value."""
        self.metrics.update(metrics)
        self.epoch = max(self.epoch, epoch)

    def progress(self) -> str:
        if not self.epoch:
            return ""
        return f"{self.epoch:.1f}/{self.epochs:g}" if self.epochs else f"{self.epoch:.1f}"

    def line(self) -> list[str]:
        """Words for what was measured at the end."""
        values = [(figure.name, figure.text(self.metrics)) for figure in LINE]
        speed = SPEED.text(self.metrics)
        return [f"{name} {value}" for name, value in values if value] + ([f"{speed} images/s"] if speed else [])
