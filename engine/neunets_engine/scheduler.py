"""Which waiting trial a worker gets, and what becomes of leases: the store holds the state, this holds the waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from neunets.errors import IllegalTransition
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.worker.v1 import worker_pb2
from neunets_engine.store import WORKER_LOST, Store, is_current

__all__ = ["LEASE_S", "Lease", "Scheduler", "Totals"]

LEASE_S: Final = 15.0
# A network that costs three workers their life is at fault itself.
MOST_LOSSES: Final = 3
ENDED = synthesizer_pb2.TrialEnded

# Gives a trial that starts now its complete recipe; None: there is no time left for it.
Totals = Callable[[store_pb2.TrialRecord], synthesizer_pb2.Recipe | None]


@dataclass(frozen=True, slots=True)
class Lease:
    """One attempt of a trial on one worker."""

    run_id: str
    trial: str
    attempt: int
    worker: str
    order: worker_pb2.Order.ValueType = worker_pb2.ORDER_CONTINUE
    seen: float = field(default=0.0)  # monotonic seconds of the last sign of life


class Scheduler:
    """Hands out the trials of all runs, first come, first served."""

    def __init__(self, store: Store, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._waiting: list[tuple[str, str]] = []
        self._leases: dict[str, Lease] = {}  # by worker
        self._totals: dict[str, Totals] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self._work = asyncio.Condition()

    # The run's side

    def open(self, run_id: str, totals: Totals) -> asyncio.Event:
        """Begin to hand out trials of a run; returns the event that is set whenever one of them ends."""
        self._totals[run_id] = totals
        return self._changed.setdefault(run_id, asyncio.Event())

    def close(self, run_id: str) -> None:
        """Hand out nothing more of the run; what is training is dropped."""
        self._totals.pop(run_id, None)
        self._changed.pop(run_id, None)
        self._waiting = [entry for entry in self._waiting if entry[0] != run_id]
        self.order(run_id, worker_pb2.ORDER_ABORT)

    async def add(self, run_id: str, *trials: str) -> None:
        """Let workers take `trials`, which wait in the store."""
        async with self._work:
            known = set(self._waiting)
            self._waiting += [(run_id, trial) for trial in trials if (run_id, trial) not in known]
            self._work.notify_all()

    def open_trials(self, run_id: str) -> int:
        """Trials of the run that wait or train."""
        waiting = sum(entry[0] == run_id for entry in self._waiting)
        return waiting + sum(lease.run_id == run_id for lease in self._leases.values())

    def drop_waiting(self, run_id: str) -> None:
        self._waiting = [entry for entry in self._waiting if entry[0] != run_id]

    def order(self, run_id: str, order: worker_pb2.Order.ValueType) -> None:
        """Told to the run's workers with their next heartbeat or report."""
        for worker, lease in self._leases.items():
            if lease.run_id == run_id:
                self._leases[worker] = replace(lease, order=order)

    # The worker's side

    async def lease(self, worker: str, device: str, wait_s: float) -> store_pb2.TrialRecord | None:
        """The next trial for `worker`, or its unfinished one; None if none came within `wait_s`."""
        held = self._leases.get(worker)
        if held is not None and held.order != worker_pb2.ORDER_ABORT:
            record = self._store.trial(held.run_id, held.trial)
            if is_current(record, held.attempt):
                self._leases[worker] = replace(held, seen=self._monotonic())
                return record
        self._leases.pop(worker, None)
        deadline = self._monotonic() + wait_s
        while True:
            taken = await self._take(worker, device)
            if taken is not None:
                return taken
            async with self._work:
                if self._waiting:
                    continue
                left = deadline - self._monotonic()
                try:
                    await asyncio.wait_for(self._work.wait(), max(left, 0.0))
                except TimeoutError:
                    return None

    async def _take(self, worker: str, device: str) -> store_pb2.TrialRecord | None:
        while self._waiting:
            run_id, trial = self._waiting.pop(0)
            totals = self._totals.get(run_id)
            if totals is None:
                continue
            record = self._store.trial(run_id, trial)
            recipe = totals(record)
            if recipe is None:
                self._notify(run_id)
                continue
            # Noted before the write: nobody may believe that the run has nothing open.
            self._leases[worker] = Lease(run_id, trial, record.attempt + 1, worker, seen=self._monotonic())
            try:
                return await self._store.lease(run_id, trial, worker, device, recipe)
            except IllegalTransition:
                self._leases.pop(worker, None)
        return None

    def heartbeat(self, worker: str, trial: str, attempt: int) -> worker_pb2.Order.ValueType:
        """The order for an attempt; ORDER_ABORT where it is not the current one."""
        lease = self._leases.get(worker)
        if lease is None or (lease.trial, lease.attempt) != (trial, attempt):
            return worker_pb2.ORDER_ABORT
        self._leases[worker] = replace(lease, seen=self._monotonic())
        return lease.order

    def run_of(self, worker: str, trial: str, attempt: int) -> str | None:
        """Run of the lease that a worker's call belongs to; None if it holds no such lease."""
        lease = self._leases.get(worker)
        held = lease is not None and (lease.trial, lease.attempt) == (trial, attempt)
        return lease.run_id if lease is not None and held else None

    async def complete(self, worker: str, ended: synthesizer_pb2.TrialEnded) -> bool:
        """End the worker's lease; False: it was not the current attempt."""
        run_id = self.run_of(worker, ended.trial, ended.attempt)
        if run_id is None:
            return False
        kept = await self._store.release(run_id, ended.trial, ended.attempt, ended)
        self._leases.pop(worker, None)
        if kept and ended.will_retry:
            await self.add(run_id, ended.trial)
        self._notify(run_id)
        return kept

    async def lost(self, worker: str, why: str) -> None:
        """The worker is gone: its trial waits again, to go on from its last checkpoint."""
        lease = self._leases.get(worker)
        if lease is None:
            return
        record = self._store.trial(lease.run_id, lease.trial)
        if is_current(record, lease.attempt):
            await self._lose(lease.run_id, record, why)
        self._leases.pop(worker, None)
        self._notify(lease.run_id)

    async def recover(self, run_id: str) -> None:
        """After a restart of the engine: what was training is LOST and waits again, what waited still does."""
        for record in self._store.trials(run_id):
            if record.state == service_pb2.TRIAL_STATE_RUNNING:
                await self._lose(run_id, record, "the engine was restarted", blame=False)
            elif record.state == service_pb2.TRIAL_STATE_WAITING:
                await self.add(run_id, record.trial)

    async def _lose(self, run_id: str, record: store_pb2.TrialRecord, why: str, blame: bool = True) -> None:
        retry = not blame or record.losses + 1 < MOST_LOSSES
        state = ENDED.STATE_LOST if retry else ENDED.STATE_FAILED
        diagnostic = synthesizer_pb2.Diagnostic(
            severity=synthesizer_pb2.Diagnostic.SEVERITY_WARNING,
            code=WORKER_LOST if blame else "ENGINE_RESTARTED",
            summary=why[:256],
        )
        ended = ENDED(
            candidate=record.candidate, trial=record.trial, attempt=record.attempt, state=state,
            device_s=record.device_s, error=diagnostic, will_retry=retry,
        )  # fmt: skip
        if await self._store.release(run_id, record.trial, record.attempt, ended) and retry:
            await self.add(run_id, record.trial)

    async def expire(self) -> list[str]:
        """Lose every lease whose worker gave no sign of life for `LEASE_S`; returns those workers."""
        now = self._monotonic()
        silent = [worker for worker, lease in self._leases.items() if now - lease.seen > LEASE_S]
        for worker in silent:
            await self.lost(worker, f"no heartbeat for {LEASE_S:g} s")
        return silent

    def leases(self) -> Mapping[str, Lease]:
        return dict(self._leases)

    def _notify(self, run_id: str) -> None:
        changed = self._changed.get(run_id)
        if changed is not None:
            changed.set()
