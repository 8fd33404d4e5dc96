"""Which waiting trial a worker gets, and what becomes of leases: the store holds the state, this holds the waiting."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import Final

from neunets.errors import NeunetsError
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.worker.v1 import worker_pb2
from neunets_engine.batching import Batching
from neunets_engine.disk import DiskFull
from neunets_engine.leases import ENDED, Lease, Patience, deadline_s, given_up
from neunets_engine.memory import parts_within
from neunets_engine.sharing import WaitingTrials
from neunets_engine.starts import Starts
from neunets_engine.stopping import Stops
from neunets_engine.store import WORKER_LOST, Store, Wanted, is_current

__all__ = ["Scheduler", "Totals"]

# A network that costs three workers their life is at fault itself.
MOST_LOSSES: Final = 3
MOST_AHEAD: Final = 256
# Losses that are not the network's: beside WORKER_LOST.
ENGINE_RESTARTED, NOT_BEGUN = "ENGINE_RESTARTED", "NOT_BEGUN"

# Gives a trial that starts now its complete recipe; None: there is no time left for it.
Totals = Callable[[store_pb2.TrialRecord], synthesizer_pb2.Recipe | None]
Taken = list[store_pb2.TrialRecord]
Begun = tuple[store_pb2.TrialRecord, synthesizer_pb2.Recipe]


class Scheduler:
    """Hands out the trials of all runs: to each its share of the workers, within it first come, first served."""

    def __init__(
        self, store: Store, patience: Patience, monotonic: Callable[[], float] = time.monotonic, slots: int = 1
    ) -> None:
        self.patience, self.stops, self.starts = patience, Stops(), Starts()
        self._store = store
        self._monotonic = monotonic
        self._batching = Batching(monotonic)
        self.waiting = WaitingTrials(slots)
        self._surplus: Set[str] = frozenset()  # workers that get nothing more
        self._leases: dict[str, list[Lease]] = {}  # by worker, in the order in which it trains
        self._workers: dict[str, float] = {}  # FLOPs a second that each has measured; 0: it has not
        self._writes: dict[str, asyncio.Task[Taken]] = {}  # by worker: of leases, under way
        self._totals: dict[str, Totals] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self._halted: dict[str, NeunetsError] = {}  # by run
        self._work = asyncio.Event()  # set, and replaced by another, where workers have to look again

    # The run's side

    def open(self, run_id: str, totals: Totals, left_s: float = math.inf) -> asyncio.Event:
        """Begin to hand out trials of a run; returns the event that is set whenever one of them ends.

        `left_s`: of its wall budget.
        """
        self._totals[run_id] = totals
        self.waiting.open(run_id, self._monotonic() + left_s)
        self._halted.pop(run_id, None)
        return self._changed.setdefault(run_id, asyncio.Event())

    def close(self, run_id: str) -> None:
        """Hand out nothing more of the run; what is training is dropped."""
        self._totals.pop(run_id, None)
        self._changed.pop(run_id, None)
        self._halted.pop(run_id, None)
        self._batching.close(run_id)
        self.stops.close(run_id)
        self.waiting.close(run_id)
        self.order(run_id, worker_pb2.ORDER_ABORT)
        self.wake()

    def is_open(self, run_id: str) -> bool:
        """Whether trials of the run are handed out."""
        return run_id in self._totals

    def halt(self, error: NeunetsError) -> None:
        """Hand out nothing more of any run, and let each find `error` at its next `check`."""
        for run_id, changed in self._changed.items():
            self._halted.setdefault(run_id, error)
            self.waiting.drop(run_id)
            self.order(run_id, worker_pb2.ORDER_ABORT)
            changed.set()

    def check(self, run_id: str) -> None:
        """Raises: the error that the run was halted with; TrainerDown while no worker starts."""
        if error := self._halted.get(run_id) or self.starts.down:
            raise error

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
        self.waiting.add(run_id, *trials)
        self.wake()

    def open_trials(self, run_id: str) -> int:
        """Trials of the run that wait or train."""
        return self.waiting.of(run_id) + sum(lease.run_id == run_id for lease in self.leases())

    def order(self, run_id: str, order: worker_pb2.Order.ValueType) -> None:
        """Told to the run's workers with their next heartbeat or report."""
        for worker, leases in self._leases.items():
            self._leases[worker] = [
                replace(lease, order=order) if lease.run_id == run_id else lease for lease in leases
            ]

    def finish(self, run_id: str, trial: str) -> bool:
        """Tell a trial's worker to end it with what it has; False: it does not train, or was told before."""
        for worker, leases in self._leases.items():
            for number, lease in enumerate(leases):
                if (lease.run_id, lease.trial, lease.order) == (run_id, trial, worker_pb2.ORDER_CONTINUE):
                    told = replace(lease, order=worker_pb2.ORDER_FINISH)
                    self._leases[worker] = [*leases[:number], told, *leases[number + 1 :]]
                    return True
        return False

    # The worker's side

    @property
    def has_workers(self) -> bool:
        """Whether one has asked for a trial yet."""
        return bool(self._workers)

    def slot_flops(self) -> float | None:
        """FLOPs a second at which a slot trains, as the workers have measured them; None: they have not."""
        return median(known) if (known := [flops for flops in self._workers.values() if flops]) else None

    def fit(self, workers: Sequence[str]) -> list[str]:
        """Give nothing more to `workers`; returns those that hold nothing, which may be ended."""
        self._surplus = frozenset(workers)
        self.wake()
        return [worker for worker in workers if worker not in self._leases and worker not in self._writes]

    def wake(self) -> None:
        """Let the workers that wait for a trial look again."""
        before, self._work = self._work, asyncio.Event()
        before.set()

    async def lease(
        self,
        worker: str,
        device: str,
        wait_s: float,
        device_bytes: int = 0,
        is_over: Callable[[], bool] = lambda: False,
        most: int = 1,
        flops: float = 0.0,
        warning: str = "",
    ) -> Taken:
        """The next trials for `worker`, or its unfinished ones; none if none came within `wait_s`, or `is_over()`.

        `device_bytes`: that a training may use there; 0: not known. `most`: it gets more than one only of a run whose
        trials are short, see `Batching`. `flops`: a second, of training, as it has measured them; 0: not known.
        `warning`: what its user should know of the device.
        """
        if not self._workers:
            for changed in self._changed.values():
                changed.set()
        self._workers[worker] = flops
        self.starts.asked(worker, warning)
        await self._written(worker)
        held = [lease for lease in self._leases.get(worker, ()) if lease.order != worker_pb2.ORDER_ABORT]
        unfinished = [(lease, self._store.trial(lease.run_id, lease.trial)) for lease in held]
        unfinished = [(lease, record) for lease, record in unfinished if is_current(record, lease.attempt)]
        if unfinished:
            now = self._monotonic()
            self._leases[worker] = [replace(lease, seen=now) for lease, _ in unfinished]
            return [record for _, record in unfinished]
        self._leases.pop(worker, None)
        deadline = self._monotonic() + wait_s
        while True:
            changed = self._work  # before the look: what changes during it is seen at the next one
            taken = await self._take(worker, device, device_bytes, most)
            if taken:
                return taken
            if is_over() and not self.waiting:
                return []
            try:
                await asyncio.wait_for(changed.wait(), max(deadline - self._monotonic(), 0.0))
            except TimeoutError:
                return []

    async def _take(self, worker: str, device: str, device_bytes: int, most: int) -> Taken:
        while worker not in self._surplus and (run_id := self.waiting.turn(self._held_by_run())) is not None:
            begun = self._begun(run_id, self._next(run_id, most))
            if not begun:
                continue
            wanted = [
                Wanted(record.trial, recipe, parts_within(device_bytes, record.graph, recipe))
                for record, recipe in begun
            ]
            # Noted before the write: nobody may believe that the run has nothing open.
            self._leases[worker] = self._noted(worker, begun)
            # Who calls may be gone before it is written: `lost`, or its next call, waits for that.
            self._writes[worker] = asyncio.ensure_future(self._write(run_id, worker, device, wanted))
            if taken := await asyncio.shield(self._writes[worker]):
                return taken
        return []

    async def _write(self, run_id: str, worker: str, device: str, wanted: Sequence[Wanted]) -> Taken:
        try:
            taken = await self._store.lease(run_id, worker, device, wanted)
        finally:
            self._writes.pop(worker, None)
        self._batching.begin(worker)
        self._keep(worker, {record.trial for record in taken})
        return taken

    async def _written(self, worker: str) -> None:
        if worker in self._writes:
            await asyncio.wait([self._writes[worker]])

    def _begun(self, run_id: str, trials: list[str]) -> list[Begun]:
        """Those of the trials that there is time for, with their complete recipes."""
        totals, begun = self._totals.get(run_id), list[Begun]()
        if totals is None or run_id in self._halted:
            return []
        for number, trial in enumerate(trials):
            record = self._store.trial(run_id, trial)
            # All time that is left is a final training's, from its start on: it waits for nothing, and nothing for it.
            if record.final_of and begun:
                self.waiting.put_back(run_id, *trials[number:])
                break
            recipe = totals(record)
            if recipe is not None:
                begun.append((record, recipe))
            else:
                self.notify(run_id)
        return begun

    def _next(self, run_id: str, most: int) -> list[str]:
        """The trials that wait longest, all of one run: what `Batching` has for a batch, and no more than its share."""
        share = -(-self.waiting.of(run_id) // max(1, len(self._workers)))
        return self.waiting.take(run_id, max(1, min(most, share, self._batching.size(run_id))))

    def _held_by_run(self) -> Counter[str]:
        """Workers."""
        return Counter(leases[0].run_id for leases in self._leases.values() if leases)

    def ahead(self, run_id: str) -> int:
        """Trials of the run that should wait beside those that train, so that no worker waits for a proposal."""
        return min(MOST_AHEAD, len(self._workers) * self._batching.size(run_id))

    def _noted(self, worker: str, wanted: Sequence[Begun]) -> list[Lease]:
        """Of the trials' next attempts, one after another. A worker that is well ends each itself at its deadline."""
        now = self._monotonic()
        ends = now + self.patience.report_s
        leases = list[Lease]()
        for record, recipe in wanted:
            ends += deadline_s(recipe) - record.device_s
            attempt = record.attempt + 1
            leases.append(Lease(record.run, record.trial, attempt, worker, seen=now, reported=now, ends=ends))
        return leases

    def _keep(self, worker: str, trials: Set[str]) -> None:
        """Of a worker's leases those of `trials` alone."""
        kept = [lease for lease in self._leases.get(worker, ()) if lease.trial in trials]
        if kept:
            self._leases[worker] = kept
        else:
            self._leases.pop(worker, None)

    def heartbeat(self, worker: str, trial: str, attempt: int) -> worker_pb2.Order.ValueType:
        """The order for an attempt; ORDER_ABORT where it is not the current one."""
        lease = self._held(worker, trial, attempt)
        if lease is None:
            return worker_pb2.ORDER_ABORT
        now = self._monotonic()
        self._leases[worker] = [replace(each, seen=now) for each in self._leases[worker]]
        return lease.order

    def reported(self, worker: str, trial: str, attempt: int) -> worker_pb2.Order.ValueType:
        """As `heartbeat`, and the job has come on."""
        order = self.heartbeat(worker, trial, attempt)
        lease = self._held(worker, trial, attempt)
        if lease is not None:
            slowest_s = max(lease.slowest_s or 0.0, lease.seen - lease.reported)
            come_on = replace(lease, reported=lease.seen, slowest_s=slowest_s)
            self._leases[worker] = [come_on if each is lease else each for each in self._leases[worker]]
        return order

    def run_of(self, worker: str, trial: str, attempt: int) -> str | None:
        """Run of the lease that a worker's call belongs to; None if it holds no such lease."""
        lease = self._held(worker, trial, attempt)
        return lease.run_id if lease is not None else None

    def _held(self, worker: str, trial: str, attempt: int) -> Lease | None:
        leases = self._leases.get(worker, ())
        return next((lease for lease in leases if (lease.trial, lease.attempt) == (trial, attempt)), None)

    async def complete(self, worker: str, ended: Sequence[synthesizer_pb2.TrialEnded]) -> list[bool]:
        """End leases of a worker; False for each that was not the current attempt."""
        held = [self._held(worker, each.trial, each.attempt) for each in ended]
        ours = [(each, lease) for each, lease in zip(ended, held, strict=True) if lease is not None]
        if not ours:
            return [False] * len(ended)
        run_id = ours[0][1].run_id  # all leases of a worker are of one run
        now = self._monotonic()
        if self.is_open(run_id):
            self._batching.end(worker, run_id, len(ours))
        answers = await self._store.release(run_id, *(each for each, _ in ours))
        kept = {each.trial: is_kept for (each, _), is_kept in zip(ours, answers, strict=True)}
        over = kept.keys()
        self._keep(worker, {lease.trial for lease in self._leases.get(worker, ()) if lease.trial not in over})
        if worker in self._leases:
            self._leases[worker] = [replace(lease, reported=now) for lease in self._leases[worker]]
        self._batching.begin(worker)
        again = [each.trial for each, _ in ours if kept[each.trial] and each.will_retry]
        if any(kept.values()):
            self.starts.trained()
        await self.add(run_id, *again)
        self.notify(run_id)
        return [lease is not None and kept[each.trial] for each, lease in zip(ended, held, strict=True)]

    async def lost(self, worker: str, why: str) -> None:
        """The worker is gone: its trials wait again, to go on from their last checkpoints."""
        if down := self.starts.ended(worker, why):
            self.halt(down)
        await self._written(worker)
        for number, lease in enumerate(list(self._leases.get(worker, ()))):
            with self._ending(lease):
                record = self._store.trial(lease.run_id, lease.trial)
                if is_current(record, lease.attempt):
                    await self._lose(lease.run_id, record, why, NOT_BEGUN if number else WORKER_LOST)

    async def _time_out(self, lease: Lease, why: str) -> None:
        """The job hangs, which it would do again: that is its result."""
        with self._ending(lease):
            record = self._store.trial(lease.run_id, lease.trial)
            if is_current(record, lease.attempt):
                failed = given_up(record, ENDED.STATE_FAILED, "TIMED_OUT", f"the job hangs on {lease.worker}: {why}")
                await self._store.release(lease.run_id, failed)

    @contextmanager
    def _ending(self, lease: Lease) -> Iterator[None]:
        """Ends the lease after what is done inside. What a full disk does not take is made up for by `recover`."""
        with contextlib.suppress(DiskFull), self.halting():
            yield
        if self._held(lease.worker, lease.trial, lease.attempt) is not None:
            self._keep(lease.worker, {each.trial for each in self._leases[lease.worker]} - {lease.trial})
        self.notify(lease.run_id)
        self.wake()

    async def recover(self, run_id: str) -> None:
        """After a restart of the engine: what was training is LOST and waits again, what waited still does."""
        for record in self._store.trials(run_id):
            if record.state == service_pb2.TRIAL_STATE_RUNNING:
                await self._lose(run_id, record, "the run was interrupted", ENGINE_RESTARTED)
            elif record.state == service_pb2.TRIAL_STATE_WAITING:
                await self.add(run_id, record.trial)

    async def _lose(self, run_id: str, record: store_pb2.TrialRecord, why: str, code: str) -> None:
        retry = code != WORKER_LOST or record.losses + 1 < MOST_LOSSES
        state = ENDED.STATE_LOST if retry else ENDED.STATE_FAILED
        (is_kept,) = await self._store.release(run_id, given_up(record, state, code, why, retry))
        if is_kept and retry:
            await self.add(run_id, record.trial)
        elif down := self.starts.lost_network(why):
            self.halt(down)

    async def expire(self) -> list[str]:
        """End every lease whose worker is silent or hangs; returns those workers, which are to be killed."""
        now, ended = self._monotonic(), []
        for worker, (lease, *_) in list(self._leases.items()):
            if now - lease.seen > self.patience.heartbeat_s:
                await self.lost(worker, f"no heartbeat for {self.patience.heartbeat_s:g} s")
            elif why := lease.hangs(now, self.patience):
                await self._time_out(lease, why)
            else:
                continue
            ended.append(worker)
        return ended

    def leases(self) -> list[Lease]:
        return [lease for leases in self._leases.values() for lease in leases]

    def notify(self, run_id: str) -> None:
        """Let the run look at what has happened."""
        changed = self._changed.get(run_id)
        if changed is not None:
            changed.set()
