"""The end of a run: its last trainings, and the export of what came out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from neunets.errors import NeunetsError, NotReady
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.worker.v1 import worker_pb2
from neunets_engine.budget import BudgetPlan
from neunets_engine.final import FinalPlan, winner
from neunets_engine.finalize import export_final
from neunets_engine.pace import Pace
from neunets_engine.resources import Resources
from neunets_engine.setting import Setting
from neunets_engine.store import has_result
from neunets_engine.words import nothing_trained

__all__ = ["Closing"]

MODES = service_pb2.StopRunRequest


@dataclass(frozen=True, slots=True)
class Closing:
    """Of one run, whose budget does not change any more."""

    run_id: str
    setting: Setting
    plan: BudgetPlan
    pace: Pace
    resources: Resources

    async def finish(self, is_stopping: Callable[..., bool], woken: Callable[[], Awaitable[None]]) -> None:
        """Train the best network for the rest of the budget, and export the best of what came out.

        `is_stopping(*modes)`: whether the run is asked to stop, in one of these modes where they are given; `woken()`
        returns when something has changed. Raises: NotReady if the user drops the run meanwhile; NeunetsError where
        there is no network.
        """
        store = self.resources.store
        record = store.run(self.run_id)
        if not record.run.best_trial and not record.final_trials:
            if is_stopping():
                return
            raise NeunetsError(nothing_trained(record, store.trials(self.run_id)))
        while True:
            finals = [store.trial(self.run_id, trial) for trial in store.run(self.run_id).final_trials]
            closing = [trial for trial in finals if trial.closes and trial.state == service_pb2.TRIAL_STATE_ENDED]
            found = next(filter(has_result, closing), None)
            if found is not None:
                break
            if len(closing) > 1:  # what the search has found is not lost with the first
                raise NeunetsError(f"the best network could not be evaluated: {closing[-1].result.error.summary}")
            waiting = [trial.trial for trial in finals if trial.state != service_pb2.TRIAL_STATE_ENDED]
            if not waiting:
                waiting = await self._plan_finals(finals, is_stopping)
            await self._train_finals(waiting, is_stopping, woken)
        await export_final(self.run_id, found.trial, self._used_s(), store, self.resources.artifacts)

    async def _plan_finals(
        self, finals: Sequence[store_pb2.TrialRecord], is_stopping: Callable[..., bool]
    ) -> list[str]:
        """Decide what is trained next, and keep it."""
        store = self.resources.store
        record = store.run(self.run_id)
        searched = [trial for trial in store.trials(self.run_id) if not trial.final_of]
        best = store.trial(self.run_id, record.run.best_trial)
        best = winner(searched, best, self.setting.metric, self.setting.dataset.valid_rows)
        slots = self.resources.scheduler.waiting.share  # other runs train as well
        plan = FinalPlan(best, record.trials, slots, self.setting.metric)
        both = not record.run.spec.train_on_validation
        both = both and self.plan.trains_both(self._used_s(), best.flops, self.pace.slot_flops(), slots)
        planned = plan.next(finals, trains=not is_stopping(), both=both)
        await store.plan_finals(self.run_id, planned)
        return [trial.trial for trial in planned]

    async def _train_finals(
        self, trials: Sequence[str], is_stopping: Callable[..., bool], woken: Callable[[], Awaitable[None]]
    ) -> None:
        """Raises: NotReady if the user drops the run meanwhile."""
        store, told = self.resources.store, False
        waiting = [
            trial for trial in trials if store.trial(self.run_id, trial).state == service_pb2.TRIAL_STATE_WAITING
        ]
        await self.resources.scheduler.add(self.run_id, *waiting)
        while any(store.trial(self.run_id, trial).state != service_pb2.TRIAL_STATE_ENDED for trial in trials):
            if is_stopping(MODES.MODE_ABORT):
                raise NotReady("asked to stop")
            if is_stopping() and not told:
                told = True
                self.resources.scheduler.order(self.run_id, worker_pb2.ORDER_FINISH)
            await woken()

    def _used_s(self) -> float:
        return self.resources.clock.used_s(self.run_id)
