"""How to train, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from neunets.errors import InvalidRequest
from neunets.hyperparameters import HYPERPARAMETERS
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_trainer.schedule import Schedule

__all__ = ["Recipe", "recipe_from_proto"]

SCHEDULES: Final = {
    synthesizer_pb2.SCHEDULE_ONE_CYCLE: Schedule.ONE_CYCLE,
    synthesizer_pb2.SCHEDULE_COSINE_RESTARTS: Schedule.COSINE_RESTARTS,
    synthesizer_pb2.SCHEDULE_CONSTANT: Schedule.CONSTANT,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Exactly one of `epochs`, `device_s` and `steps` is set: the total, counted from the trial's first step."""

    epochs: float | None = None
    device_s: float | None = None
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    batch_size: int = 128
    warmup: float = 0.2  # fraction of the training, of a constant rate of the first epoch, 0..1
    shift: int = 0  # largest shift in pixels
    mirror: bool = False
    steps: int | None = None
    cutout: int = 0  # side in pixels
    averaging: float = 0.0  # fraction of the steps so far, 0..1
    norm_momentum: float = 0.0  # 0: what each node says
    test_mirror: bool = False
    class_weighting: float = 0.0
    cycles: int = 1
    schedule: Schedule = Schedule.ONE_CYCLE

    def __post_init__(self) -> None:
        if [self.epochs, self.device_s, self.steps].count(None) != 2:
            raise InvalidRequest("recipe.total", "exactly one of epochs, device_s and steps is needed")
        if self.batch_size < 1:
            raise InvalidRequest("recipe.batch_size", "at least 1")
        if not 0.0 <= self.warmup <= 1.0:
            raise InvalidRequest("recipe.warmup", "between 0 and 1")
        if not 0.0 <= self.averaging < 1.0:
            raise InvalidRequest("recipe.averaging", "between 0 and 1")
        if self.cycles < 1:
            raise InvalidRequest("recipe.cycles", "at least 1")

    @property
    def trains(self) -> bool:
        """False: only evaluate."""
        return bool(self.epochs or self.device_s or self.steps)


def recipe_from_proto(message: synthesizer_pb2.Recipe) -> Recipe:
    """Raises: InvalidRequest where a field is unset, or the schedule unknown."""
    if message.schedule not in SCHEDULES:
        raise InvalidRequest("recipe.schedule", f"unknown schedule {message.schedule}")
    for field in HYPERPARAMETERS:
        if not message.HasField(field):  # type: ignore[arg-type]
            raise InvalidRequest(f"recipe.{field}", "unset")
    values = {field: getattr(message, field) for field in HYPERPARAMETERS}
    values["schedule"] = SCHEDULES[message.schedule]
    total = message.WhichOneof("total")
    if total is not None:
        values[total] = getattr(message, total)
    return Recipe(**values)
