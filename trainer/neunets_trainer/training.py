"""One training, from its first step or a checkpoint to its result, as an iterator of events. Knows no engine."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from neunets.draws import generator
from neunets.graph import Graph
from neunets.reference import initialise
from neunets_trainer.augment import mirror, shift
from neunets_trainer.build import Network, build, load_weights, named_tensors, weights_of
from neunets_trainer.checkpoint import Checkpoint
from neunets_trainer.data import Data, Split
from neunets_trainer.evaluate import probabilities, score
from neunets_trainer.optimizer import Nesterov
from neunets_trainer.precision import Precision, autocast
from neunets_trainer.recipe import Recipe
from neunets_trainer.schedule import ClockHorizon, Horizon, StepHorizon, rate

__all__ = ["Ended", "Order", "Outcome", "Progress", "Task", "run"]

REPORT_EVERY_S: Final = 1.0
CHECKPOINT_EVERY_S: Final = 5.0
PROBE_ROWS: Final = 64
# Of the evaluations at the end, over what the first one took.
RESERVE_FACTOR: Final = 1.2
# In torch's errors, where memory ran out: its allocators' words, and those of oneDNN, cuBLAS and cuDNN.
MEMORY_SIGNS: Final = (
    "not enough memory", "can't allocate memory", "out of memory", "could not create a primitive", "_ALLOC_FAILED"
)  # fmt: skip
# Streams of random numbers of one seed.
INITIAL, ORDER_OF_ROWS, CHANGES = 0, 1, 2
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
    """What to train. `final`: measure the test set, too, and leave a probe for the export's check."""

    graph: Graph
    recipe: Recipe
    seed: int
    data: Data
    device: str = "cpu"
    precision: Precision = Precision.FLOAT32
    checkpoint: Checkpoint | None = None
    incumbent: Weights | None = None
    final: bool = False
    deadline_s: float = math.inf
    accumulate: int = 1
    device_s_used: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    step: int
    epoch: float
    device_s: float  # since the trial's first step, over all attempts
    metrics: Mapping[str, float]
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    outcome: Outcome
    metrics: Mapping[str, float] = field(default_factory=dict)
    device_s: float = 0.0
    peak_bytes: int = 0
    weights: Weights | None = None
    probe: tuple[NDArray[np.generic], NDArray[np.float32]] | None = None  # x as stored, probabilities (N, classes)
    error: str = ""


def run(
    task: Task, order: Callable[[], Order], monotonic: Callable[[], float] = time.monotonic
) -> Iterator[Progress | Ended]:
    """Train. The last event is an `Ended`, unless the order is ABORT: then nothing more comes.

    Memory that runs out, a loss that is no number and a passed deadline are outcomes, not errors.
    """
    begin = monotonic() - _used_s(task)
    if task.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(task.device)
    try:
        yield from _Training(task, order, lambda: monotonic() - begin).run()
    except (torch.OutOfMemoryError, MemoryError) as error:
        yield Ended(Outcome.OUT_OF_MEMORY, {}, monotonic() - begin, _peak_bytes(task.device), error=_short(error))
    except (RuntimeError, ValueError) as error:  # torch refuses some shapes with the one, some with the other
        is_memory = any(sign in str(error) for sign in MEMORY_SIGNS)
        outcome = Outcome.OUT_OF_MEMORY if is_memory else Outcome.FAILED
        yield Ended(outcome, {}, monotonic() - begin, _peak_bytes(task.device), error=_short(error))


class _Training:
    def __init__(self, task: Task, order: Callable[[], Order], seconds: Callable[[], float]) -> None:
        self._task, self._order, self._seconds = task, order, seconds
        self._network, self._step = _start(task)
        self._optimizer, self._rate = _optimizer(self._network, task), 0.0
        rows = len(task.data.train)
        self._batch = min(task.recipe.batch_size, rows)
        self._steps_an_epoch = max(1, rows // self._batch)
        self._loss = torch.zeros((), device=task.device)
        self._losses = 0
        self._images_per_s = 0.0
        self._permutation: tuple[int, Tensor] = (-1, torch.empty(0))

    def run(self) -> Iterator[Progress | Ended]:
        horizon = self._plan()
        evaluated_at, evaluation_s = self._seconds(), 0.0
        reported, kept = (self._seconds(), self._step), self._seconds()
        train_loss, step_s, stopped = float("nan"), 0.0, False
        while not horizon.is_over(self._step, self._seconds(), step_s):
            order = self._order()
            if order is Order.ABORT:
                return
            stopped = order is Order.FINISH
            if stopped:
                break
            begin = self._seconds()
            if begin > self._task.deadline_s:
                yield self._failed(Outcome.TIMED_OUT, f"not done within {self._task.deadline_s:g} s")
                return
            self._train_step(horizon.progress(self._step, begin))
            self._step += 1
            now = self._seconds()
            step_s = now - begin
            due = horizon.validates(self._step, now, evaluated_at, evaluation_s)
            if not due and now - reported[0] < REPORT_EVERY_S:
                continue
            train_loss = self._mean_loss()
            if not math.isfinite(train_loss):
                yield self._failed(Outcome.NOT_A_NUMBER, f"the loss is {train_loss} after {self._step} steps")
                return
            self._images_per_s = self._batch * (self._step - reported[1]) / max(now - reported[0], 1e-9)
            metrics = {"train_loss": train_loss, "images_per_s": self._images_per_s}
            metrics["learning_rate"] = self._rate
            if due:
                valid = score(self._network, self._task.data.valid)
                evaluated_at, evaluation_s = self._seconds(), self._seconds() - now
                metrics |= {"valid_accuracy": valid.accuracy, "valid_loss": valid.loss}
            checkpoint = None
            if self._seconds() - kept >= CHECKPOINT_EVERY_S:
                kept, checkpoint = self._seconds(), self._checkpoint()
            yield Progress(self._step, self._epoch(), self._seconds(), metrics, checkpoint)
            reported = (self._seconds(), self._step)
        if self._losses:
            train_loss = self._mean_loss()
        yield from self._end(train_loss, Outcome.STOPPED if stopped else Outcome.SUCCEEDED)

    def _plan(self) -> Horizon:
        """How long to train; what the clock's training has to leave for evaluation is measured."""
        recipe, data = self._task.recipe, self._task.data
        valid_steps = len(data.valid) / self._batch
        if recipe.epochs is not None:
            steps = max(round(recipe.epochs * self._steps_an_epoch), int(recipe.epochs > 0.0))
            return StepHorizon(steps, self._steps_an_epoch, valid_steps)
        assert recipe.device_s is not None
        few = Split(data.valid.x[:256], data.valid.y[:256])
        score(self._network, few)  # the first call is slower than all others
        begin = self._seconds()
        score(self._network, few)
        row_s = (self._seconds() - begin) / max(1, len(few))
        rows = len(data.valid) + PROBE_ROWS
        if self._task.final:
            rows += len(data.valid) + data.test_rows()
        return ClockHorizon(recipe.device_s, RESERVE_FACTOR * rows * row_s + 0.05)

    def _train_step(self, progress: float) -> None:
        recipe, network = self._task.recipe, self._network
        draws = torch.Generator(self._task.device).manual_seed(self._draw(CHANGES, self._step))
        rows = self._rows()
        x, y = self._task.data.train.x[rows], self._task.data.train.y[rows]
        if x.ndim == 4 and recipe.shift:
            x = shift(x, recipe.shift, draws)
        if x.ndim == 4 and recipe.mirror:
            x = mirror(x, draws)
        network.seed(self._draw(CHANGES, self._step) ^ 1)
        self._rate = rate(progress, recipe.learning_rate, recipe.warmup)
        self._optimizer.zero_grad()
        parts = min(self._task.accumulate, len(y))
        for part_x, part_y in zip(x.tensor_split(parts), y.tensor_split(parts), strict=True):
            with autocast(self._task.precision, self._task.device):
                logits = network(part_x)
            loss = F.cross_entropy(logits.float(), part_y, label_smoothing=recipe.label_smoothing, reduction="sum")
            loss = loss / len(y)
            loss.backward()  # type: ignore[no-untyped-call]
            self._loss += loss.detach()
        self._losses += 1
        self._optimizer.step(self._rate)

    def _rows(self) -> Tensor:
        """(batch,) of this step: each epoch has an order of its own."""
        epoch, position = divmod(self._step, self._steps_an_epoch)
        if self._permutation[0] != epoch:
            draws = torch.Generator().manual_seed(self._draw(ORDER_OF_ROWS, epoch))
            permutation = torch.randperm(len(self._task.data.train), generator=draws).to(self._task.device)
            self._permutation = (epoch, permutation)
        return self._permutation[1][position * self._batch : (position + 1) * self._batch]

    def _draw(self, stream: int, index: int) -> int:
        return int(generator(self._task.seed, index, stream).integers(1 << 62))

    def _mean_loss(self) -> float:
        """Since the last time it was asked for; also waits for the device."""
        mean = float(self._loss) / max(1, self._losses)
        self._loss.zero_()
        self._losses = 0
        return mean

    def _epoch(self) -> float:
        return self._step / self._steps_an_epoch

    def _checkpoint(self) -> Checkpoint:
        momenta = self._optimizer.momenta.items()
        momentum = {key: value.to("cpu", copy=True).contiguous().numpy() for key, value in momenta}
        return Checkpoint(self._step, self._seconds(), weights_of(self._network), momentum)

    def _end(self, train_loss: float, outcome: Outcome) -> Iterator[Progress | Ended]:
        """Evaluate, keep the better of this network and the incumbent, and measure the test set for that one."""
        task, network = self._task, self._network
        weights: Weights = weights_of(network)
        valid = score(network, task.data.valid)
        is_number = all(np.isfinite(value).all() for value in weights.values())
        if not is_number or (len(task.data.valid) and not math.isfinite(valid.loss)):  # finite weights can overflow
            why = f"weights or validation loss are not numbers after {self._step} steps"
            yield self._failed(Outcome.NOT_A_NUMBER, why)
            return
        metrics = {"epochs": self._epoch(), "train_loss": train_loss, "images_per_s": self._images_per_s}
        probe = None
        if task.final:
            if task.incumbent is not None and self._step:
                load_weights(network, task.incumbent)
                before = score(network, task.data.valid)
                keeps = (before.accuracy, -before.loss) > (valid.accuracy, -valid.loss)
                metrics["kept_incumbent"] = float(keeps)
                if keeps:
                    valid, weights = before, task.incumbent
                else:
                    load_weights(network, weights)
            metrics["test_accuracy"] = score(network, task.data.test()).accuracy
            x = task.data.valid.x[:PROBE_ROWS]
            probe = (x.cpu().numpy(), probabilities(network, x))
        metrics |= {"valid_accuracy": valid.accuracy, "valid_loss": valid.loss}
        yield Ended(outcome, metrics, self._seconds(), _peak_bytes(task.device), weights, probe)

    def _failed(self, outcome: Outcome, why: str) -> Ended:
        metrics = {"epochs": self._epoch()}
        return Ended(outcome, metrics, self._seconds(), _peak_bytes(self._task.device), error=why)


def _start(task: Task) -> tuple[Network, int]:
    """The network as it is before the next step, and that step's number."""
    weights: Weights
    if task.checkpoint is not None:
        weights, step = task.checkpoint.weights, task.checkpoint.step
    elif task.recipe.epochs == 0.0 and task.incumbent is not None:
        weights, step = task.incumbent, 0
    else:
        weights, step = initialise(task.graph, generator(task.seed, 0, INITIAL)), 0
    network = build(task.graph, weights, task.device)
    if task.precision is Precision.BFLOAT16:
        network.memory_format = torch.channels_last
        if len(task.graph.input.shape) == 3:
            network.to(memory_format=torch.channels_last)
    return network, step


def _optimizer(network: Network, task: Task) -> Nesterov:
    """As it is before the next step."""
    trained = {key: value for key, value in named_tensors(network) if value.requires_grad}
    optimizer = Nesterov(trained, task.recipe.momentum, task.recipe.weight_decay)
    if task.checkpoint is not None:
        for key, value in optimizer.momenta.items():
            value.copy_(torch.from_numpy(np.array(task.checkpoint.momentum[key])))
    return optimizer


def _used_s(task: Task) -> float:
    """Seconds that earlier attempts have spent; those after the last checkpoint are not refunded."""
    return max(task.device_s_used, task.checkpoint.device_s if task.checkpoint is not None else 0.0)


def _peak_bytes(device: str) -> int:
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kibibytes on Linux


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:256]
