"""Searches of other libraries in the same virtual time, over the same spaces and recorded trainings."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import numpy as np
import optuna
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import choice, randint
from syne_tune.optimizer.baselines import ASHA
from syne_tune.optimizer.scheduler import SchedulerDecision

from neunets.conform.virtual import Played, Setting, looked_up
from neunets.spaces import Configuration, Designs
from neunets_optuna.search import suggested

__all__ = ["PEERS", "SEARCHED", "Peer", "played"]

SEARCHED: Final = ("skip",)
ETA: Final = 3
BEGUN: Final = datetime(2026, 1, 1, tzinfo=UTC)
ACCURACY, EPOCH = "accuracy", "epoch"


class Peer(Protocol):
    """It is asked for a training, told of each epoch, and says after each whether the training goes on."""

    def begun(self) -> tuple[int, Configuration]:
        """A number of its own, and what is to be trained."""

    def goes_on(self, number: int, epoch: int, accuracy: float) -> bool: ...
    def ended(self, number: int, epoch: int, accuracy: float) -> None:
        """At the last epoch, or where it did not go on or has diverged."""


class OptunaHyperband:
    """Tree-structured Parzen estimators with the pruner of Hyperband, as Optuna's users combine them."""

    def __init__(self, designs: Designs, epochs: int, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=ETA),
        )
        self._designs = designs
        self._trials: dict[int, optuna.Trial] = {}
        self._pruned: set[int] = set()

    def begun(self) -> tuple[int, Configuration]:
        trial = self._study.ask()
        self._trials[trial.number] = trial
        return trial.number, suggested(trial, self._designs.parameters)

    def goes_on(self, number: int, epoch: int, accuracy: float) -> bool:
        trial = self._trials[number]
        trial.report(accuracy, epoch)
        if trial.should_prune():
            self._pruned.add(number)
            return False
        return True

    def ended(self, number: int, epoch: int, accuracy: float) -> None:
        if np.isnan(accuracy):
            self._study.tell(number, state=optuna.trial.TrialState.FAIL)
        elif number in self._pruned:
            self._study.tell(number, state=optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(number, accuracy)


class SyneTuneAsha:
    """Syne Tune's asynchronous successive halving with random configurations."""

    def __init__(self, designs: Designs, epochs: int, seed: int) -> None:
        self._designs = designs
        space: dict[str, Any] = {
            entry.name: randint(0, len(entry.values) - 1)
            if entry.is_ordered and len(entry.values) > 1
            else choice(list(range(len(entry.values))))
            for entry in designs.parameters
        }
        self._scheduler = ASHA(
            space,
            metric=ACCURACY,
            time_attr=EPOCH,
            do_minimize=False,
            max_t=epochs,
            grace_period=1,
            reduction_factor=ETA,
            random_seed=seed,
        )
        self._trials: dict[int, Any] = {}

    def begun(self) -> tuple[int, Configuration]:
        number = len(self._trials)
        suggestion = self._scheduler.suggest()
        trial = Trial(trial_id=number, config=suggestion.config, creation_time=BEGUN)
        self._scheduler.on_trial_add(trial)
        self._trials[number] = trial
        made = {entry.name: entry.values[suggestion.config[entry.name]] for entry in self._designs.parameters}
        return number, self._designs.parameters.completed(made, np.random.default_rng(0))

    def goes_on(self, number: int, epoch: int, accuracy: float) -> bool:
        told = {ACCURACY: accuracy, EPOCH: epoch}
        return bool(self._scheduler.on_trial_result(self._trials[number], told) == SchedulerDecision.CONTINUE)

    def ended(self, number: int, epoch: int, accuracy: float) -> None:
        if np.isnan(accuracy):
            self._scheduler.on_trial_error(self._trials[number])


PEERS: Final[Mapping[str, Callable[[Designs, int, int], Peer]]] = {
    "optuna: TPE + Hyperband": OptunaHyperband,
    "syne-tune: ASHA": SyneTuneAsha,
}


def played(new: Callable[[Designs, int, int], Peer], setting: Setting, seed: int) -> Played:
    """One search in virtual time, validated after each epoch."""
    recorded, result = setting.recorded, Played()
    designs = Designs.of(recorded.problem, SEARCHED, ("constant",), recorded.problem.max_flops)
    peer = new(designs, recorded.epochs, seed)
    due: list[tuple[float, int, int, Any, float]] = []  # (virtual s, number, epoch, curve, s of an epoch)

    def begin(now_s: float) -> None:
        number, chosen = peer.begun()
        curve, pass_s = looked_up(designs, chosen, recorded)
        result.trainings += 1
        heapq.heappush(due, (now_s + pass_s, number, 1, curve, pass_s))

    for _ in range(setting.slots):
        begin(0.0)
    while True:
        now_s, number, epoch, curve, pass_s = heapq.heappop(due)
        if now_s > setting.wall_s:
            return result
        accuracy = curve.accuracy(epoch)
        if not np.isnan(accuracy):
            result.measured(now_s, accuracy)
            if epoch < recorded.epochs and peer.goes_on(number, epoch, accuracy):
                heapq.heappush(due, (now_s + pass_s, number, epoch + 1, curve, pass_s))
                continue
        peer.ended(number, epoch, accuracy)
        begin(now_s)
