"""How to train, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from neunets.errors import InvalidRequest
from neunets.synthesizer.v1 import synthesizer_pb2

__all__ = ["Recipe", "recipe_from_proto"]

FIELDS = (
    "learning_rate",
    "momentum",
    "weight_decay",
    "label_smoothing",
    "batch_size",
    "warmup",
    "shift",
    "mirror",
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Exactly one of `epochs` and `device_s` is set: the total, counted from the trial's first step."""

    epochs: float | None = None
    device_s: float | None = None
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    batch_size: int = 128
    warmup: float = 0.2  # fraction of the training, 0..1
    shift: int = 0  # largest shift in pixels
    mirror: bool = False

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.device_s is None):
            raise InvalidRequest("recipe.total", "exactly one of epochs and device_s is needed")
        if self.batch_size < 1:
            raise InvalidRequest("recipe.batch_size", "at least 1")
        if not 0.0 <= self.warmup <= 1.0:
            raise InvalidRequest("recipe.warmup", "between 0 and 1")


def recipe_from_proto(message: synthesizer_pb2.Recipe) -> Recipe:
    """Raises: InvalidRequest where a field is unset, or the schedule unknown."""
    if message.schedule != synthesizer_pb2.SCHEDULE_ONE_CYCLE:
        raise InvalidRequest("recipe.schedule", f"unknown schedule {message.schedule}")
    for field in FIELDS:
        if not message.HasField(field):  # type: ignore[arg-type]
            raise InvalidRequest(f"recipe.{field}", "unset")
    total = message.WhichOneof("total")
    return Recipe(
        epochs=message.epochs if total == "epochs" else None,
        device_s=message.device_s if total == "device_s" else None,
        learning_rate=message.learning_rate,
        momentum=message.momentum,
        weight_decay=message.weight_decay,
        label_smoothing=message.label_smoothing,
        batch_size=message.batch_size,
        warmup=message.warmup,
        shift=message.shift,
        mirror=message.mirror,
    )
