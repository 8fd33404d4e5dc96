"""How fast a run trains, and the complete recipes that follow from it and from what is left of the budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Final

from neunets.cost import STEP_COST
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.budget import BudgetPlan
from neunets_engine.clock import RunClock
from neunets_engine.recipes import complete, usual_values
from neunets_engine.setting import Setting
from neunets_engine.store import Store, has_result

__all__ = ["Pace"]

TIMED_TRIALS: Final = 64
# Once there are so many.
MEASURE_EVERY_S: Final = 1.0


class Pace:
    """Measured on the trials of the run itself; what it remembers, it reads again after a restart."""

    def __init__(
        self,
        run_id: str,
        setting: Setting,
        plan: BudgetPlan,
        store: Store,
        clock: RunClock,
        told: Callable[[], float | None],
    ) -> None:
        """`told()`: FLOPs a second of a slot, as its worker has measured them."""
        self._id, self._setting, self._plan, self._told = run_id, setting, plan, told
        self._store, self._clock = store, clock
        self._speed: tuple[int, float | None] = (0, None)  # trials ended, and their FLOPs a second
        self._next = 0.0  # measurement
        self._epochs: float | None = None  # of the first trial

    def recipe(self, trial: store_pb2.TrialRecord) -> synthesizer_pb2.Recipe | None:
        """Of a trial that a worker takes now, complete; one once begun keeps its own. None: no time is left."""
        if trial.attempt and trial.recipe.WhichOneof("total") is not None:
            return trial.recipe
        total = self._total(trial) if trial.recipe.WhichOneof("total") is None else trial.recipe
        if total is None:
            return None
        epochs = self._plan.epochs_of(total, trial.flops, self.slot_flops(), trial.threads)
        has_norm = any(node.op == "batch_norm" for node in trial.graph.nodes)
        usual = usual_values(self._setting.spec, self._setting.dataset, epochs, has_norm)
        return complete(trial.recipe, total, usual)

    def slot_flops(self) -> float | None:
        """FLOPs a second at which a slot trains: the median over the last trials; before, as the workers say.

        None: nobody has said.
        """
        ended, now = self._store.run(self._id).run.trials_ended, time.monotonic()
        if ended != self._speed[0] and (ended <= TIMED_TRIALS or now > self._next):
            self._next = now + MEASURE_EVERY_S
            speeds = [
                STEP_COST * trial.flops * trial.result.metrics.get("images_per_s", 0.0)
                for trial in self._store.last_trials(self._id, TIMED_TRIALS)
                if has_result(trial) and not trial.final_of
            ]
            self._speed = (ended, median(speeds) or None if speeds else None)
        return self._speed[1] or self._told()

    def _total(self, trial: store_pb2.TrialRecord) -> synthesizer_pb2.Recipe | None:
        used_s = self._clock.used_s(self._id)
        if not trial.final_of:
            is_first = not self._store.run(self._id).run.best_trial
            epochs = self._first_epochs()
            return self._plan.trial_total(used_s, trial.flops, self.slot_flops(), epochs, is_first=is_first)
        reserve_s = 0.0 if trial.closes else self._plan.closing_s(trial.flops, self.slot_flops())
        return self._plan.final_total(used_s, reserve_s)

    def _first_epochs(self) -> float | None:
        """Of the run's first trial; None: it has not begun, or is not told in epochs of the engine's choice."""
        if self._epochs is None:
            first = self._store.trials_after(self._id, "", 1)
            if first and first[0].attempt and first[0].asked.WhichOneof("total") is None:
                self._epochs = first[0].recipe.epochs or None
        return self._epochs
