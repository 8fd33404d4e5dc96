"""One training, from its first step or a checkpoint to its result, as an iterator of events. Knows no engine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neunets.draws import generator
from neunets.machine import MemoryFormat
from neunets.reference import initialise
from neunets_trainer.averaging import Average
from neunets_trainer.build import Network, build, load_weights, named_tensors, weights_of
from neunets_trainer.checkpoint import Checkpoint
from neunets_trainer.divergence import Divergence
from neunets_trainer.evaluate import Score, predict, score, score_of
from neunets_trainer.inheritance import Inherited
from neunets_trainer.optimizer import Nesterov
from neunets_trainer.schedule import ClockHorizon, Horizon, StepHorizon
from neunets_trainer.step import INITIAL, Stepper
from neunets_trainer.task import Ended, Order, Outcome, Progress, Task, Weights
from neunets_trainer.usage import peak_bytes, used_bytes

__all__ = ["run"]

REPORT_EVERY_S: Final = 1.0
CHECKPOINT_EVERY_S: Final = 5.0
PROBE_ROWS: Final = 64
# Rows whose evaluation is timed before a training by the clock.
TIMED_ROWS: Final = 256
# Of the evaluations at the end, over what the timed one took.
RESERVE_FACTOR: Final = 1.2
# In torch's errors, where memory ran out: its allocators' words, and those of oneDNN, cuBLAS and cuDNN.
MEMORY_SIGNS: Final = (
    "not enough memory", "can't allocate memory", "out of memory", "could not create a primitive", "_ALLOC_FAILED"
)  # fmt: skip


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
        yield Ended(Outcome.OUT_OF_MEMORY, {}, monotonic() - begin, peak_bytes(task.device), error=_short(error))
    except (RuntimeError, ValueError) as error:  # torch refuses some shapes with the one, some with the other
        is_memory = any(sign in str(error) for sign in MEMORY_SIGNS)
        outcome = Outcome.OUT_OF_MEMORY if is_memory else Outcome.FAILED
        yield Ended(outcome, {}, monotonic() - begin, peak_bytes(task.device), error=_short(error))


class _Training:
    def __init__(self, task: Task, order: Callable[[], Order], seconds: Callable[[], float]) -> None:
        self._task, self._order, self._seconds = task, order, seconds
        # Measured by each attempt, so that a resumed training tells it, too.
        heritage = task.inheritance
        self._inherited = heritage.inherited(task.graph, task.data, task.device) if heritage is not None else None
        self._network, self._step = _start(task, self._inherited)
        self._optimizer, self._average = _optimizer(self._network, task), _average(self._network, task)
        self._stepper = Stepper(self._network, self._optimizer, self._average, task)
        self._images_per_s = 0.0
        self._divergence = Divergence(self._network.classes, task.recipe.warmup)
        # Rows that are trained on tell nothing while it goes on.
        self._validates = len(task.data.valid) > 0 and not task.trains_on_validation

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
            self._stepper.run(self._step, horizon.progress(self._step, begin))
            self._step += 1
            now = self._seconds()
            step_s = now - begin
            due = self._validates and horizon.validates(self._step, now, evaluated_at, evaluation_s)
            if not due and now - reported[0] < REPORT_EVERY_S:
                continue
            train_loss = self._stepper.mean_loss()
            if not math.isfinite(train_loss):
                yield self._failed(Outcome.NOT_A_NUMBER, f"the loss is {train_loss} after {self._step} steps")
                return
            seconds = max(self._seconds() - reported[0], 1e-9)  # the loss has waited for the device
            self._images_per_s = self._stepper.batch * (self._step - reported[1]) / seconds
            metrics = self._measured(train_loss)
            if due:
                valid = self._score()
                evaluated_at, evaluation_s = self._seconds(), self._seconds() - now
                metrics |= valid.metrics("valid")
                # The loss at a validation, which a resumed training repeats; that of a report hangs on the clock.
                if why := self._divergence.of(horizon.progress(self._step, now), valid.loss):
                    yield self._failed(Outcome.NOT_A_NUMBER, f"{why}, after {self._step} steps")
                    return
            checkpoint = None
            if self._seconds() - kept >= CHECKPOINT_EVERY_S:
                kept, checkpoint = self._seconds(), self._checkpoint()
            yield Progress(self._step, self._epoch(), self._seconds(), metrics, checkpoint)
            reported = (self._seconds(), self._step)
        if self._stepper.losses:
            train_loss = self._stepper.mean_loss()
        yield self._end(train_loss, Outcome.STOPPED if stopped else Outcome.SUCCEEDED)

    def _plan(self) -> Horizon:
        """How long to train; what the clock's training has to leave for evaluation is measured."""
        recipe, data, stepper = self._task.recipe, self._task.data, self._stepper
        valid_steps = len(data.valid) / stepper.batch
        if recipe.steps is not None:
            return StepHorizon(recipe.steps, stepper.steps_an_epoch, valid_steps)
        if recipe.epochs is not None:
            steps = max(round(recipe.epochs * stepper.steps_an_epoch), int(recipe.epochs > 0.0))
            return StepHorizon(steps, stepper.steps_an_epoch, valid_steps)
        assert recipe.device_s is not None
        timed = min(TIMED_ROWS, len(data.valid))
        self._score(timed)  # the first call is slower than all others
        begin = self._seconds()
        self._score(timed)
        row_s = (self._seconds() - begin) / max(1, timed)
        rows = len(data.valid) + PROBE_ROWS
        if self._task.final:
            rows += len(data.valid) + data.test_rows()
        return ClockHorizon(recipe.device_s, RESERVE_FACTOR * rows * row_s + 0.05)

    def _averaged(self) -> AbstractContextManager[None]:
        return nullcontext() if self._average is None else self._average.applied()

    def _score(self, rows: int | None = None) -> Score:
        """Of the validation rows, by the weights that would be kept."""
        with self._averaged():
            return score(self._network, self._task.data.valid, self._task.recipe.test_mirror, rows)

    def _measured(self, train_loss: float) -> dict[str, float]:
        return {
            "train_loss": train_loss,
            "images_per_s": self._images_per_s,
            "learning_rate": self._stepper.rate,
            "memory_bytes": float(used_bytes(self._task.device)),
        }

    def _epoch(self) -> float:
        return self._step / self._stepper.steps_an_epoch

    def _checkpoint(self) -> Checkpoint:
        average = None if self._average is None else _on_host(self._average.values)
        momentum = _on_host(self._optimizer.momenta)
        return Checkpoint(self._step, self._seconds(), weights_of(self._network), momentum, average)

    def _end(self, train_loss: float, outcome: Outcome) -> Ended:
        """Evaluate, and let a final task choose."""
        checkpoint = self._checkpoint() if self._task.keeps_checkpoint else None
        with self._averaged():
            weights: Weights = weights_of(self._network)
        load_weights(self._network, weights)
        valid = score(self._network, self._task.data.valid, self._task.recipe.test_mirror)
        is_number = all(np.isfinite(value).all() for value in weights.values())
        if not is_number or (len(self._task.data.valid) and not math.isfinite(valid.loss)):  # finite ones can overflow
            why = f"weights or validation loss are not numbers after {self._step} steps"
            return self._failed(Outcome.NOT_A_NUMBER, why)
        metrics = {"epochs": self._epoch(), "train_loss": train_loss, "images_per_s": self._images_per_s}
        if self._task.final:
            return self._close(outcome, metrics, weights, valid)
        metrics |= valid.metrics("valid")
        if self._inherited is not None:
            metrics["inherited_delta"] = self._inherited.delta
        spent = (self._seconds(), peak_bytes(self._task.device))
        return Ended(outcome, metrics, *spent, weights, checkpoint=checkpoint)

    def _close(self, outcome: Outcome, metrics: dict[str, float], weights: Weights, valid: Score) -> Ended:
        """Keep the better of this network and the incumbent; measure the test set for that one."""
        task, network, mirrors = self._task, self._network, self._task.recipe.test_mirror
        if task.incumbent is not None and task.recipe.trains:
            load_weights(network, task.incumbent)
            before = score(network, task.data.valid, mirrors)
            keeps = _rank(before, task.metric) > _rank(valid, task.metric)
            metrics["kept_incumbent"] = float(keeps)
            weights = task.incumbent if keeps else weights
            # Rows that were trained on tell nothing: the figures are those of the network before it.
            valid = before if keeps or task.trains_on_validation else valid
            load_weights(network, weights)
        test = task.data.test()
        predictions = (predict(network, test, mirrors), test.y.cpu().numpy())
        x = np.concatenate([part.cpu().numpy() for part, _ in task.data.valid.blocks(PROBE_ROWS, PROBE_ROWS)])
        probe = (x, predict(network, task.data.valid, mirrors, PROBE_ROWS))
        metrics |= valid.metrics("valid") | score_of(*predictions).metrics("test")
        return Ended(outcome, metrics, self._seconds(), peak_bytes(task.device), weights, probe, predictions)

    def _failed(self, outcome: Outcome, why: str) -> Ended:
        metrics = {"epochs": self._epoch()}
        return Ended(outcome, metrics, self._seconds(), peak_bytes(self._task.device), error=why)


def _rank(found: Score, metric: str) -> tuple[float, float]:
    """Larger is better."""
    return found.metrics("valid")[metric], -found.loss


def _start(task: Task, inherited: Inherited | None) -> tuple[Network, int]:
    """The network as it is before the next step, and that step's number."""
    weights: Weights
    if task.checkpoint is not None:
        weights, step = task.checkpoint.weights, task.checkpoint.step
    elif task.incumbent is not None and (task.continues or not task.recipe.trains):
        weights, step = task.incumbent, 0
    elif inherited is not None:
        weights, step = inherited.weights, 0
    else:
        weights, step = initialise(task.graph, generator(task.seed, 0, INITIAL)), 0
    network = build(task.graph, weights, task.device)
    if task.memory_format is MemoryFormat.CHANNELS_LAST:
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


def _average(network: Network, task: Task) -> Average | None:
    """As it is before the next step; None: the last weights are kept."""
    if not task.recipe.averaging:
        return None
    average = Average(dict(named_tensors(network)), task.recipe.averaging)
    if task.checkpoint is not None and task.checkpoint.average is not None:
        average.load(task.checkpoint.average)
    return average


def _on_host(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    return {key: value.to("cpu", copy=True).contiguous().numpy() for key, value in tensors.items()}


def _used_s(task: Task) -> float:
    """Seconds that earlier attempts have spent; those after the last checkpoint are not refunded."""
    return max(task.device_s_used, task.checkpoint.device_s if task.checkpoint is not None else 0.0)


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:256]
