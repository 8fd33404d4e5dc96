"""How fast a run trains, and the complete recipes that follow from it and from what is left of the budget."""

from __future__ import annotations

from statistics import median
from typing import Final

from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.budget import STEP_COST, BudgetPlan
from neunets_engine.clock import RunClock
from neunets_engine.recipes import complete, usual_values
from neunets_engine.setting import Setting
from neunets_engine.store import Store, has_result

__all__ = ["Pace"]

TIMED_TRIALS: Final = 64


class Pace:
    """Measured on the trials of the run itself; what it remembers, it reads again after a restart."""

    def __init__(self, run_id: str, setting: Setting, plan: BudgetPlan, store: Store, clock: RunClock) -> None:
        self._id, self._setting, self._plan = run_id, setting, plan
        self._store, self._clock = store, clock
        self._speed: tuple[int, float | None] = (0, None)  # trials ended, and their FLOPs a second

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
        """FLOPs a second at which a slot trains: the median over the last trials. None: nothing was trained."""
        ended = self._store.run(self._id).run.trials_ended
        if ended != self._speed[0]:
            speeds = [
                STEP_COST * trial.flops * trial.result.metrics.get("images_per_s", 0.0)
                for trial in self._store.last_trials(self._id, TIMED_TRIALS)
                if has_result(trial) and not trial.final_of
            ]
            self._speed = (ended, median(speeds) or None if speeds else None)
        return self._speed[1]

    def _total(self, trial: store_pb2.TrialRecord) -> synthesizer_pb2.Recipe | None:
        used_s = self._clock.used_s(self._id)
        if not trial.final_of:
            return self._plan.search_total(used_s)
        reserve_s = 0.0 if trial.closes else self._plan.closing_s(trial.flops, self.slot_flops())
        return self._plan.final_total(used_s, reserve_s)
