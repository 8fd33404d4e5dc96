"""What a training is given, and what comes out of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from neunets.graph import Graph
from neunets.machine import MemoryFormat, Precision
from neunets_trainer.checkpoint import Checkpoint
from neunets_trainer.data import Data
from neunets_trainer.inheritance import Inheritance
from neunets_trainer.recipe import Recipe

__all__ = ["Ended", "Order", "Outcome", "Progress", "Task", "Weights"]

Weights = Mapping[str, NDArray[np.float32]]


class Order(Enum):
    """What the caller wants of a running training."""

    CONTINUE = "continue"
    FINISH = "finish"
    ABORT = "abort"


class Outcome(Enum):
    SUCCEEDED = "succeeded"
    STOPPED = "stopped"
    OUT_OF_MEMORY = "out of memory"
    NOT_A_NUMBER = "not a number"
    TIMED_OUT = "timed out"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Task:
    """What to train. `final`: keep the better of what is trained and the `incumbent`, by `metric`, measure the test set
    for that one, and leave what the export needs. `continues`: begin with the incumbent's weights; `inheritance`: with
    those that a parent has left. `keeps_checkpoint`: so that the training can be continued from its end.
    """

    graph: Graph
    recipe: Recipe
    seed: int
    data: Data
    device: str = "cpu"
    precision: Precision = Precision.FLOAT32
    memory_format: MemoryFormat = MemoryFormat.CONTIGUOUS
    checkpoint: Checkpoint | None = None
    incumbent: Weights | None = None
    final: bool = False
    deadline_s: float = math.inf
    accumulate: int = 1
    device_s_used: float = 0.0
    metric: str = "valid_accuracy"
    continues: bool = False
    trains_on_validation: bool = False
    inheritance: Inheritance | None = None
    keeps_checkpoint: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    step: int
    epoch: float
    device_s: float  # since the trial's first step, over all attempts
    metrics: Mapping[str, float]
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """`probe`, `predictions`: of a final task alone; `checkpoint`: where the task keeps one, at the last step."""

    outcome: Outcome
    metrics: Mapping[str, float] = field(default_factory=dict)
    device_s: float = 0.0
    peak_bytes: int = 0
    weights: Weights | None = None
    probe: tuple[NDArray[np.generic], NDArray[np.float32]] | None = None  # x as stored, probabilities (N, classes)
    predictions: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None  # test set: (N, classes), labels (N,)
    error: str = ""
    checkpoint: Checkpoint | None = None
