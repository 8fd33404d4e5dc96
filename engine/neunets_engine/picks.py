"""A user's choice among the networks of a run that has ended: measured on the test set, exported, the run's model."""

from __future__ import annotations

import asyncio

from neunets.errors import IllegalTransition, NeunetsError
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets_engine.artifacts import Artifacts
from neunets_engine.final import closing
from neunets_engine.finalize import export_final
from neunets_engine.lifecycle import FINAL, State
from neunets_engine.scheduler import Scheduler
from neunets_engine.store import Store, has_result

__all__ = ["Picks"]


class Picks:
    """Of all runs. Requests are worked on one by one; one goes on where its caller does not wait for it."""

    def __init__(self, store: Store, artifacts: Artifacts, scheduler: Scheduler, slots: int) -> None:
        self._store, self._artifacts, self._scheduler, self._slots = store, artifacts, scheduler, slots
        self._working = asyncio.Lock()
        self._tasks: dict[tuple[str, str], asyncio.Task[str]] = {}

    async def pick(self, run_id: str, trial: str) -> str:
        """Make a trial's network the run's model; returns the trial that has its files: it, or one that measured it.

        Raises: IllegalTransition while the run goes on, or where the trial has no weights; ExportMismatch as
        `export_final`; Damaged, NotFound where its weights or files are; NeunetsError where no worker could measure it.
        """
        key = run_id, trial
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._pick(run_id, trial))
            self._tasks[key].add_done_callback(lambda _: self._tasks.pop(key, None))
        return await asyncio.shield(self._tasks[key])

    async def close(self) -> None:
        """What is not measured yet is asked for again, or not."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pick(self, run_id: str, trial: str) -> str:
        async with self._working:
            found = self._exported(run_id, trial)
            if found:
                await self._check(*(each.ref.sha256 for each in self._store.trial(run_id, found).artifacts))
                await self._store.pick(run_id, found)
                return found
            run, chosen = self._store.run(run_id), self._store.trial(run_id, trial)
            state = State(run.run.state)
            if state not in FINAL:
                raise IllegalTransition(f"{run.run.name} is {state.name}: pick once it has ended", state=state.name)
            if not has_result(chosen) or "weights" not in chosen.result.artifacts:
                name = service_pb2.TrialState.Name(chosen.state).removeprefix("TRIAL_STATE_")
                raise IllegalTransition(f"{trial} has left no trained network: pick one that has", state=name)
            await self._check(chosen.result.artifacts["weights"].sha256)
            measured = await self._measured(closing(chosen, chosen, run.trials, self._slots))
            await export_final(run_id, measured.trial, run.run.wall_s, self._store, self._artifacts)
            return measured.trial

    async def _check(self, *digests: str) -> None:
        """Raises: Damaged, NotFound."""
        for sha256 in digests:
            await asyncio.to_thread(self._artifacts.get, sha256)

    def _exported(self, run_id: str, trial: str) -> str:
        """The trial that has the files of this one's network; empty: none has."""
        chosen = self._store.trial(run_id, trial)
        if chosen.artifacts:
            return trial
        weights = chosen.result.artifacts["weights"].sha256 if "weights" in chosen.result.artifacts else ""
        for other in self._store.trials(run_id):
            if weights and other.artifacts and other.incumbent.sha256 == weights and not other.recipe.epochs:
                return other.trial
        return ""

    async def _measured(self, planned: store_pb2.TrialRecord) -> store_pb2.TrialRecord:
        """Raises: NeunetsError where it fails."""
        run_id = planned.run
        changed = self._scheduler.open(run_id, lambda trial: trial.recipe)
        try:
            # What an engine that ended meanwhile has left.
            await self._store.cancel(run_id, service_pb2.TRIAL_STATE_WAITING, service_pb2.TRIAL_STATE_RUNNING)
            await self._store.plan_pick(planned)
            await self._scheduler.add(run_id, planned.trial)
            while (found := self._store.trial(run_id, planned.trial)).state != service_pb2.TRIAL_STATE_ENDED:
                await changed.wait()
                changed.clear()
                self._scheduler.check(run_id)
        finally:
            self._scheduler.close(run_id)
        if not has_result(found):
            raise NeunetsError(f"the network of {planned.final_of} cannot be measured: {found.result.error.summary}")
        return found
