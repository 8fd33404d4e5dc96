"""A run in virtual time: nothing is trained, each training has the curve of the most similar recorded one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from neunets.conform.check import Violation
from neunets.conform.drive import LARGEST_WANT, PATIENCE, Run
from neunets.conform.events import State
from neunets.conform.exchange import Exchange
from neunets.cost import STEP_COST, cost
from neunets.hyperparameters import HYPERPARAMETERS
from neunets.simulation import Curve, Recorded
from neunets.spaces import Configuration, Designs
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.wire import graph_from_proto

__all__ = ["SLOT_FLOPS", "Played", "Setting", "Virtual", "epoch_s", "looked_up"]

# A second, of a slot: so that an epoch of the recorded networks takes seconds, as it does in a small run.
SLOT_FLOPS: Final = 1e9
TOLERANCE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Setting:
    """`wall_s`: virtual. `heard`: for each row the one whose curve the plugin hears of; None: its own."""

    recorded: Recorded
    wall_s: float
    slots: int
    heard: NDArray[np.int64] | None = None


@dataclass(slots=True)
class Played:
    """What came of a run. `points`: (virtual seconds, best accuracy until then), where it grows."""

    points: list[tuple[float, float]] = field(default_factory=list)
    trainings: int = 0
    proposed: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    # Of the ends of trainings: (predicted, deviation or not a number, what came).
    predictions: list[tuple[float, float, float]] = field(default_factory=list)
    # Of stopped trials: (what it would have come to, the best so far as it was stopped).
    stopped: list[tuple[float, float]] = field(default_factory=list)

    def best(self) -> float:
        return self.points[-1][1] if self.points else 0.0

    def measured(self, now_s: float, accuracy: float) -> None:
        if accuracy > self.best():
            self.points.append((now_s, accuracy))

    def reached(self, accuracy: float) -> float | None:
        """Virtual seconds; None: never."""
        return next((now_s for now_s, value in self.points if value >= accuracy), None)

    def mean(self, wall_s: float, at_first: float) -> float:
        """Of the best accuracy over the whole time; `at_first`: before anything is trained."""
        times = [0.0, *(min(now_s, wall_s) for now_s, _ in self.points), wall_s]
        values = [at_first, *(value for _, value in self.points)]
        spans = zip(times, times[1:], values, strict=False)
        return sum(value * (until - since) for since, until, value in spans) / wall_s


@dataclass(slots=True)
class _Training:
    """`begun`: epochs that it goes on from, `done`: since the network's first step."""

    candidate: str
    row: int
    curve: Curve  # as it is heard of
    epoch_s: float
    since_s: float
    begun: float
    total: float
    done: float

    def next_epochs(self) -> float:
        return min(math.floor(self.done + TOLERANCE) + 1.0, self.total)

    def next_s(self) -> float:
        return self.since_s + (self.next_epochs() - self.begun) * self.epoch_s


def epoch_s(flops: float, recorded: Recorded) -> float:
    """Virtual seconds of a network with so many `flops`."""
    return STEP_COST * flops * recorded.problem.train_rows / SLOT_FLOPS


def looked_up(designs: Designs, chosen: Configuration, recorded: Recorded) -> tuple[Curve, float]:
    """The curve of a design, and the virtual seconds of its epochs."""
    graph = designs.graph(chosen)
    row = recorded.nearest(graph, designs.recipe(chosen).hyperparameters())
    return recorded.curve(row), epoch_s(cost(graph).flops, recorded)


class Virtual(Run):
    def __init__(self, exchange: Exchange, opening: pb.OpenRequest, propose_s: float, setting: Setting) -> None:
        self.now_s = 0.0
        self.played = Played()
        self._setting = setting
        self._running: dict[str, _Training] = {}  # by trial
        self._ended: dict[str, _Training] = {}
        self._stops = False
        super().__init__(exchange, opening, propose_s)

    def budget(self) -> pb.Budget:
        setting = self._setting
        left_s = max(0.0, setting.wall_s - self.now_s)
        return pb.Budget(wall_s=setting.wall_s, wall_s_left=left_s, slots=setting.slots, slot_flops=SLOT_FLOPS)

    def play(self, stops: bool) -> Played:
        """Until the virtual time is over, or nothing more is proposed. `stops`: the plugin may stop trials.

        Raises: Violation.
        """
        self._stops = stops
        self.open()
        idle = 0
        while idle < PATIENCE and self.now_s < self._setting.wall_s:
            waits_s = self._fill()
            if self._running:
                idle = 0
                self._advance()
            elif waits_s is None:
                break
            else:
                idle += 1
                self.now_s += max(waits_s, TOLERANCE)
        self.played.proposed = len(self.log.candidates)
        self.played.rejected.update(each.refusal for each in self.judged.values() if each.refusal)
        self.close()
        return self.played

    def _fill(self) -> float | None:
        """Candidates for all free slots. Seconds that the plugin would wait where it proposes none; None: exhausted."""
        for _ in range(PATIENCE):
            free = self._setting.slots - len(self._running)
            if free <= 0:
                return None
            request_id = self.request_id()
            answer = self.propose(min(free, LARGEST_WANT), request_id)
            match answer.WhichOneof("outcome"):
                case "exhausted":
                    return None
                case "wait":
                    return answer.wait.after.ToMilliseconds() / 1000
            for name in self.admit(request_id, list(answer.proposals.candidates)[:free]):
                self._begin(name)
            self.ingest()
        raise Violation(f"{PATIENCE} proposals in a row had no candidate that could be trained")

    def _begin(self, name: str) -> None:
        candidate, recorded = self.log.candidates[name], self._setting.recorded
        before = self._ended.get(candidate.recipe.resume_trial)
        if before is not None:
            row, curve, pass_s, done = before.row, before.curve, before.epoch_s, before.done
        else:
            derived = self.judged[name].derived
            graph = graph_from_proto(candidate.graph if derived is None else derived)
            row = recorded.nearest(graph, _given(candidate.recipe))
            heard = row if self._setting.heard is None else int(self._setting.heard[row])
            curve, pass_s, done = recorded.curve(heard), epoch_s(cost(graph).flops, recorded), 0.0
        total = _total(candidate.recipe, pass_s, recorded)
        trial = self.log.started(name)
        self._running[trial] = _Training(name, row, curve, pass_s, self.now_s, done, max(total, done), done)
        self.played.trainings += 1

    def _advance(self) -> None:
        """To the next validation; what ends or is stopped at it ends."""
        trial = min(self._running, key=lambda each: self._running[each].next_s())
        training = self._running[trial]
        if training.next_s() > self._setting.wall_s:
            self.now_s = self._setting.wall_s
            return
        epochs, self.now_s = training.next_epochs(), training.next_s()
        training.done = epochs
        accuracy = training.curve.accuracy(epochs)
        if math.isnan(accuracy):
            self._end(trial, State.STATE_INFEASIBLE)
            return
        self.played.measured(self.now_s, _finite(self._true(training).accuracy(epochs)))
        self.log.measured(trial, epochs - training.begun, self._metrics(training))
        if epochs >= training.total - TOLERANCE:
            self._end(trial, State.STATE_SUCCEEDED)
            return
        self.ingest()
        if self._stops:
            self._assess()

    def _assess(self) -> None:
        for stop in self.assess(list(self._running)).stop:
            if stop.trial in self._running:
                training = self._running[stop.trial]
                end = _finite(self._true(training).accuracy(training.total))
                self.played.stopped.append((end, self.played.best()))
                self._end(stop.trial, State.STATE_STOPPED)

    def _end(self, trial: str, state: State.ValueType) -> None:
        training = self._running.pop(trial)
        self._ended[trial] = training
        if state == State.STATE_SUCCEEDED:
            self._compare(training)
        metrics = {} if state == State.STATE_INFEASIBLE else self._metrics(training)
        self.log.ended(trial, state, metrics, device_s=training.done * training.epoch_s)
        self.ingest()

    def _compare(self, training: _Training) -> None:
        """What was predicted with what came."""
        candidate = self.log.candidates[training.candidate]
        if candidate.HasField("prediction"):
            said = candidate.prediction
            deviation = said.stddev if said.HasField("stddev") else math.nan
            self.played.predictions.append((said.mean, deviation, training.curve.accuracy(training.done)))

    def _true(self, training: _Training) -> Curve:
        return self._setting.recorded.curve(training.row)

    def _metrics(self, training: _Training) -> Mapping[str, float]:
        accuracy, loss = (each(training.done) for each in (training.curve.accuracy, training.curve.loss))
        names = ("valid_accuracy", "valid_balanced_accuracy", "valid_macro_f1")
        rest = {"valid_loss": loss, "train_loss": loss, "epochs": training.done}
        return dict.fromkeys(names, accuracy) | rest


def _given(recipe: pb.Recipe) -> dict[str, float]:
    return {name: float(getattr(recipe, name)) for name in HYPERPARAMETERS if recipe.HasField(name)}  # type: ignore[arg-type]


def _total(recipe: pb.Recipe, pass_s: float, recorded: Recorded) -> float:
    """Epochs; of a recipe that names no total, as many as were recorded."""
    match recipe.WhichOneof("total"):
        case "epochs":
            return recipe.epochs
        case "device_s":
            return recipe.device_s / pass_s
        case "steps":
            batch = recipe.batch_size if recipe.HasField("batch_size") else int(HYPERPARAMETERS["batch_size"].usual)
            return recipe.steps * batch / recorded.problem.train_rows
    return float(recorded.epochs)


def _finite(value: float) -> float:
    return 0.0 if math.isnan(value) else value
