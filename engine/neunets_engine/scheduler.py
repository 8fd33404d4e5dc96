"""Which waiting trial a worker gets, and what becomes of leases: the store holds the state, this holds the waiting."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from neunets.errors import IllegalTransition, NeunetsError
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.worker.v1 import worker_pb2
from neunets_engine.disk import DiskFull
from neunets_engine.leases import Lease, Patience, deadline_s
from neunets_engine.memory import parts_within
from neunets_engine.store import WORKER_LOST, Store, is_current

__all__ = ["Scheduler", "Totals"]

# A network that costs three workers their life is at fault itself.
MOST_LOSSES: Final = 3
ENDED = synthesizer_pb2.TrialEnded

# Gives a trial that starts now its complete recipe; None: there is no time left for it.
Totals = Callable[[store_pb2.TrialRecord], synthesizer_pb2.Recipe | None]


class Scheduler:
    """Hands out the trials of all runs, first come, first served."""

    def __init__(self, store: Store, patience: Patience, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.patience = patience
        self._store = store
        self._monotonic = monotonic
        self._waiting: list[tuple[str, str]] = []
        self._leases: dict[str, Lease] = {}  # by worker
        self._totals: dict[str, Totals] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self._halted: dict[str, NeunetsError] = {}  # by run
        self._work = asyncio.Condition()

    # The run's side

    def open(self, run_id: str, totals: Totals) -> asyncio.Event:
        """Begin to hand out trials of a run; returns the event that is set whenever one of them ends."""
        self._totals[run_id] = totals
        self._halted.pop(run_id, None)
        return self._changed.setdefault(run_id, asyncio.Event())

    def close(self, run_id: str) -> None:
        """Hand out nothing more of the run; what is training is dropped."""
        self._totals.pop(run_id, None)
        self._changed.pop(run_id, None)
        self._halted.pop(run_id, None)
        self.drop_waiting(run_id)
        self.order(run_id, worker_pb2.ORDER_ABORT)

    def halt(self, error: NeunetsError) -> None:
        """Hand out nothing more of any run, and let each find `error` at its next `check`."""
        for run_id, changed in self._changed.items():
            self._halted.setdefault(run_id, error)
            self.drop_waiting(run_id)
            self.order(run_id, worker_pb2.ORDER_ABORT)
            changed.set()

    def check(self, run_id: str) -> None:
        """Raises: the error that the run was halted with."""
        if run_id in self._halted:
            raise self._halted[run_id]

    @contextmanager
    def halting(self) -> Iterator[None]:
        """A full disk that is met inside halts all runs."""
        try:
            yield
        except DiskFull as error:
            self.halt(error)
            raise

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

    async def wake(self) -> None:
        """Let the workers that wait for a trial look again."""
        async with self._work:
            self._work.notify_all()

    async def lease(
        self,
        worker: str,
        device: str,
        wait_s: float,
        device_bytes: int = 0,
        is_over: Callable[[], bool] = lambda: False,
    ) -> store_pb2.TrialRecord | None:
        """The next trial for `worker`, or its unfinished one; None if none came within `wait_s`, or `is_over()`.

        `device_bytes`: that a training may use there; 0: not known.
        """
        held = self._leases.get(worker)
        if held is not None and held.order != worker_pb2.ORDER_ABORT:
            record = self._store.trial(held.run_id, held.trial)
            if is_current(record, held.attempt):
                self._leases[worker] = replace(held, seen=self._monotonic())
                return record
        self._leases.pop(worker, None)
        deadline = self._monotonic() + wait_s
        while True:
            taken = await self._take(worker, device, device_bytes)
            if taken is not None:
                return taken
            async with self._work:
                if self._waiting:
                    continue
                if is_over():
                    return None
                left = deadline - self._monotonic()
                try:
                    await asyncio.wait_for(self._work.wait(), max(left, 0.0))
                except TimeoutError:
                    return None

    async def _take(self, worker: str, device: str, device_bytes: int) -> store_pb2.TrialRecord | None:
        while self._waiting:
            run_id, trial = self._waiting.pop(0)
            totals = self._totals.get(run_id)
            if totals is None or run_id in self._halted:
                continue
            record = self._store.trial(run_id, trial)
            recipe = totals(record)
            if recipe is None:
                self._notify(run_id)
                continue
            # Noted before the write: nobody may believe that the run has nothing open.
            self._leases[worker] = self._lease(record, worker, recipe)
            try:
                parts = parts_within(device_bytes, record.graph, recipe)
                return await self._store.lease(run_id, trial, worker, device, recipe, parts)
            except IllegalTransition:
                self._leases.pop(worker, None)
        return None

    def _lease(self, record: store_pb2.TrialRecord, worker: str, recipe: synthesizer_pb2.Recipe) -> Lease:
        """Of the trial's next attempt. A worker that is well ends it itself at its deadline."""
        now = self._monotonic()
        ends = now + deadline_s(recipe) - record.device_s + self.patience.report_s
        return Lease(record.run, record.trial, record.attempt + 1, worker, seen=now, reported=now, ends=ends)

    def heartbeat(self, worker: str, trial: str, attempt: int) -> worker_pb2.Order.ValueType:
        """The order for an attempt; ORDER_ABORT where it is not the current one."""
        lease = self._leases.get(worker)
        if lease is None or (lease.trial, lease.attempt) != (trial, attempt):
            return worker_pb2.ORDER_ABORT
        self._leases[worker] = replace(lease, seen=self._monotonic())
        return lease.order

    def reported(self, worker: str, trial: str, attempt: int) -> worker_pb2.Order.ValueType:
        """As `heartbeat`, and the job has come on."""
        order = self.heartbeat(worker, trial, attempt)
        lease = self._leases.get(worker)
        if lease is not None and (lease.trial, lease.attempt) == (trial, attempt):
            slowest_s = max(lease.slowest_s or 0.0, lease.seen - lease.reported)
            self._leases[worker] = replace(lease, reported=lease.seen, slowest_s=slowest_s)
        return order

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
        with self._ending(lease):
            record = self._store.trial(lease.run_id, lease.trial)
            if is_current(record, lease.attempt):
                await self._lose(lease.run_id, record, why)

    async def _time_out(self, lease: Lease, why: str) -> None:
        """The job hangs, which it would do again: that is its result."""
        with self._ending(lease):
            record = self._store.trial(lease.run_id, lease.trial)
            if is_current(record, lease.attempt):
                failed = _ended(record, ENDED.STATE_FAILED, "TIMED_OUT", f"the job hangs on {lease.worker}: {why}")
                await self._store.release(lease.run_id, lease.trial, lease.attempt, failed)

    @contextmanager
    def _ending(self, lease: Lease) -> Iterator[None]:
        """Ends the lease after what is done inside. What a full disk does not take is made up for by `recover`."""
        with contextlib.suppress(DiskFull), self.halting():
            yield
        held = self._leases.get(lease.worker)
        if held is not None and (held.trial, held.attempt) == (lease.trial, lease.attempt):
            self._leases.pop(lease.worker)
        self._notify(lease.run_id)

    async def recover(self, run_id: str) -> None:
        """After a restart of the engine: what was training is LOST and waits again, what waited still does."""
        for record in self._store.trials(run_id):
            if record.state == service_pb2.TRIAL_STATE_RUNNING:
                await self._lose(run_id, record, "the run was interrupted", blame=False)
            elif record.state == service_pb2.TRIAL_STATE_WAITING:
                await self.add(run_id, record.trial)

    async def _lose(self, run_id: str, record: store_pb2.TrialRecord, why: str, blame: bool = True) -> None:
        retry = not blame or record.losses + 1 < MOST_LOSSES
        state = ENDED.STATE_LOST if retry else ENDED.STATE_FAILED
        ended = _ended(record, state, WORKER_LOST if blame else "ENGINE_RESTARTED", why, retry)
        if await self._store.release(run_id, record.trial, record.attempt, ended) and retry:
            await self.add(run_id, record.trial)

    async def expire(self) -> list[str]:
        """End every lease whose worker is silent or hangs; returns those workers, which are to be killed."""
        now, ended = self._monotonic(), []
        for worker, lease in self.leases().items():
            if now - lease.seen > self.patience.heartbeat_s:
                await self.lost(worker, f"no heartbeat for {self.patience.heartbeat_s:g} s")
            elif why := lease.hangs(now, self.patience):
                await self._time_out(lease, why)
            else:
                continue
            ended.append(worker)
        return ended

    def leases(self) -> Mapping[str, Lease]:
        return dict(self._leases)

    def _notify(self, run_id: str) -> None:
        changed = self._changed.get(run_id)
        if changed is not None:
            changed.set()


def _ended(
    record: store_pb2.TrialRecord, state: ENDED.State.ValueType, code: str, why: str, retry: bool = False
) -> synthesizer_pb2.TrialEnded:
    """The end of the record's attempt, as its engine found it."""
    severity = synthesizer_pb2.Diagnostic.SEVERITY_WARNING if retry else synthesizer_pb2.Diagnostic.SEVERITY_ERROR
    return ENDED(
        candidate=record.candidate, trial=record.trial, attempt=record.attempt, state=state, device_s=record.device_s,
        error=synthesizer_pb2.Diagnostic(severity=severity, code=code, summary=why[:256]), will_retry=retry,
    )  # fmt: skip
