"""When the engine stops waiting for a worker: by its silence, by a job that does not come on, by the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.errors import NeunetsError
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.worker.v1 import worker_pb2
from neunets_engine.disk import DiskFull
from neunets_engine.leases import FIRST_FACTOR, SLOWEST_FACTOR, Lease, Patience
from neunets_engine.scheduler import Scheduler
from neunets_engine.store import Store

ENDED = synthesizer_pb2.TrialEnded
PATIENCE = Patience(heartbeat_s=15.0, report_s=60.0)
RECIPE = synthesizer_pb2.Recipe(device_s=100.0)
seconds = st.floats(0.0, 1e5)


@given(wait_s=seconds, slowest_s=seconds)
def test_a_job_hangs_where_it_takes_many_times_its_slowest_step(wait_s: float, slowest_s: float) -> None:
    lease = Lease("r1", "t000001", 1, "slot0", reported=5.0, slowest_s=slowest_s)
    hangs = bool(lease.hangs(5.0 + wait_s, PATIENCE))
    assert hangs == (5.0 + wait_s - 5.0 > max(PATIENCE.report_s, SLOWEST_FACTOR * slowest_s))


@given(wait_s=seconds)
def test_the_first_report_may_take_longer(wait_s: float) -> None:
    assert bool(Lease("r1", "t000001", 1, "slot0").hangs(wait_s, PATIENCE)) == (wait_s > FIRST_FACTOR * 60.0)


@given(now=seconds, ends=seconds)
def test_nothing_may_pass_its_deadline(now: float, ends: float) -> None:
    lease = Lease("r1", "t000001", 1, "slot0", reported=now, slowest_s=1e5, ends=ends)
    assert bool(lease.hangs(now, PATIENCE)) == (now > ends)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


async def leased(store: Store, clock: Clock) -> Scheduler:
    """With one trial, which `slot0` has taken."""
    await store.create_run(service_pb2.Run(name="runs/r1", spec=service_pb2.RunSpec(trials=3)), "")
    trial = store_pb2.TrialRecord(
        run="r1", trial="t000001", candidate="c000001", state=service_pb2.TRIAL_STATE_WAITING, accumulate=1
    )
    await store.record_proposals("r1", synthesizer_pb2.Proposed(), [(trial, "hash")], [])
    scheduler = Scheduler(store, PATIENCE, clock)
    scheduler.open("r1", lambda _: RECIPE)
    await scheduler.add("r1", "t000001")
    assert await scheduler.lease("slot0", "cpu", 0.0)
    return scheduler


async def test_a_worker_that_reports_is_left_alone_until_the_deadline(store: Store) -> None:
    scheduler = await leased(store, clock := Clock())
    deadline_s = 2.0 * RECIPE.device_s + 60.0
    for clock.now in range(0, int(deadline_s + PATIENCE.report_s), 10):
        scheduler.reported("slot0", "t000001", 1)
        assert await scheduler.expire() == []
    clock.now = deadline_s + PATIENCE.report_s + 1.0
    scheduler.reported("slot0", "t000001", 1)
    assert await scheduler.expire() == ["slot0"]
    result = store.trial("r1", "t000001").result
    assert (result.state, result.error.code) == (ENDED.STATE_FAILED, "TIMED_OUT")
    assert "deadline" in result.error.summary


async def test_heartbeats_alone_are_no_progress(store: Store) -> None:
    scheduler = await leased(store, clock := Clock())
    scheduler.reported("slot0", "t000001", 1)
    for clock.now in range(0, 61, 10):
        scheduler.heartbeat("slot0", "t000001", 1)
        assert await scheduler.expire() == []
    clock.now = 61.0
    scheduler.heartbeat("slot0", "t000001", 1)
    assert await scheduler.expire() == ["slot0"]
    assert store.trial("r1", "t000001").result.error.code == "TIMED_OUT"
    assert scheduler.open_trials("r1") == 0


async def test_a_silent_worker_is_lost_and_its_trial_waits(store: Store) -> None:
    scheduler = await leased(store, clock := Clock())
    clock.now = 15.1
    assert await scheduler.expire() == ["slot0"]
    assert store.trial("r1", "t000001").state == service_pb2.TRIAL_STATE_WAITING
    (again,) = await scheduler.lease("slot1", "cpu", 0.0)
    assert again.attempt == 2


async def test_a_full_disk_halts_every_run_until_it_is_opened_again(store: Store) -> None:
    scheduler = await leased(store, Clock())
    changed = scheduler.open("r2", lambda _: RECIPE)
    with pytest.raises(DiskFull), scheduler.halting():
        raise DiskFull("no room")
    assert changed.is_set()
    for run_id in ("r1", "r2"):
        with pytest.raises(NeunetsError, match="no room"):
            scheduler.check(run_id)
    assert scheduler.heartbeat("slot0", "t000001", 1) == worker_pb2.ORDER_ABORT
    scheduler.open("r1", lambda _: RECIPE)
    scheduler.check("r1")
    await scheduler.recover("r1")
    (again,) = await scheduler.lease("slot0", "cpu", 0.0)
    assert again.attempt == 2
    assert store.trial("r1", "t000001").losses == 0


async def with_trials(store: Store, clock: Clock, count: int) -> Scheduler:
    """So many trials wait, after one that `slot0` has taken."""
    scheduler = await leased(store, clock)
    names = [f"t{number:06d}" for number in range(2, count + 2)]
    waiting = service_pb2.TRIAL_STATE_WAITING
    trials = [
        store_pb2.TrialRecord(run="r1", trial=name, candidate=name, state=waiting, accumulate=1) for name in names
    ]
    await store.record_proposals("r1", synthesizer_pb2.Proposed(), [(trial, trial.trial) for trial in trials], [])
    await scheduler.add("r1", *names)
    return scheduler


def done(*names: str) -> list[synthesizer_pb2.TrialEnded]:
    succeeded = synthesizer_pb2.TrialEnded.STATE_SUCCEEDED
    return [synthesizer_pb2.TrialEnded(trial=name, attempt=1, state=succeeded) for name in names]


async def test_short_trials_are_leased_and_ended_several_at_a_time(store: Store) -> None:
    scheduler = await with_trials(store, clock := Clock(), 30)
    clock.now = 0.002
    assert await scheduler.complete("slot0", done("t000001")) == [True]
    assert scheduler.ahead("r1") == 10
    taken = [trial.trial for trial in await scheduler.lease("slot0", "cpu", 0.0, most=64)]
    assert taken == [f"t{number:06d}" for number in range(2, 12)]
    assert [trial.trial for trial in await scheduler.lease("slot0", "cpu", 0.0, most=64)] == taken
    assert scheduler.heartbeat("slot0", taken[-1], 1) == worker_pb2.ORDER_CONTINUE
    assert await scheduler.complete("slot0", done(*taken[:4], "t000099")) == [True] * 4 + [False]
    assert await scheduler.complete("slot0", done(taken[0])) == [False]
    assert scheduler.open_trials("r1") == 26
    assert store.run("r1").run.trials_ended == 5


async def test_workers_share_what_waits(store: Store) -> None:
    scheduler = await with_trials(store, clock := Clock(), 6)
    assert len(await scheduler.lease("slot1", "cpu", 0.0, most=64)) == 1
    clock.now = 0.001
    await scheduler.complete("slot0", done("t000001"))
    assert len(await scheduler.lease("slot0", "cpu", 0.0, most=64)) == 3
    assert scheduler.open_trials("r1") == 6


async def test_long_trials_are_leased_one_by_one(store: Store) -> None:
    scheduler = await with_trials(store, clock := Clock(), 3)
    clock.now = 1.0
    await scheduler.complete("slot0", done("t000001"))
    assert scheduler.ahead("r1") == 0
    assert len(await scheduler.lease("slot0", "cpu", 0.0, most=64)) == 1


async def test_only_the_trial_that_had_begun_is_blamed_for_a_lost_worker(store: Store) -> None:
    scheduler = await with_trials(store, clock := Clock(), 3)
    clock.now = 0.001
    await scheduler.complete("slot0", done("t000001"))
    assert len(await scheduler.lease("slot0", "cpu", 0.0, most=64)) == 3
    await scheduler.lost("slot0", "it ended")
    assert [store.trial("r1", f"t00000{number}").losses for number in (2, 3, 4)] == [1, 0, 0]
    again = await scheduler.lease("slot1", "cpu", 0.0)
    assert [trial.attempt for trial in again] == [2]


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_worker_that_is_lost_while_it_takes_a_trial_gives_it_back(store: Store, is_cancelled: bool) -> None:
    """The store's write is under way as the worker ends; its call may be cancelled with it."""
    scheduler = await with_trials(store, Clock(), 1)
    await scheduler.complete("slot0", done("t000001"))
    taking = asyncio.create_task(scheduler.lease("slot1", "cpu", 0.0))
    while not scheduler.leases():
        await asyncio.sleep(0)
    if is_cancelled:
        taking.cancel()
    await scheduler.lost("slot1", "it ended")
    await asyncio.wait([taking])
    assert scheduler.open_trials("r1") == 1
    (again,) = await scheduler.lease("slot2", "cpu", 0.0)
    assert (again.trial, again.attempt, again.losses) == ("t000002", 2, 1)


async def test_a_worker_that_calls_again_while_it_takes_a_trial_has_that_one(store: Store) -> None:
    scheduler = await with_trials(store, Clock(), 1)
    await scheduler.complete("slot0", done("t000001"))
    taking = asyncio.create_task(scheduler.lease("slot1", "cpu", 0.0))
    while not scheduler.leases():
        await asyncio.sleep(0)
    taking.cancel()
    (again,) = await scheduler.lease("slot1", "cpu", 0.0)
    assert (again.trial, again.attempt) == ("t000002", 1)
    assert [lease.trial for lease in scheduler.leases()] == ["t000002"]


async def test_a_final_training_is_leased_alone(store: Store) -> None:
    scheduler = await with_trials(store, clock := Clock(), 2)
    clock.now = 0.001
    await scheduler.complete("slot0", done("t000001"))
    final = store_pb2.TrialRecord(run="r1", trial="t000004", final_of="t000001", state=service_pb2.TRIAL_STATE_WAITING)
    await store.plan_finals("r1", [final])
    await scheduler.add("r1", "t000004")
    for expected in (["t000002", "t000003"], ["t000004"]):
        taken = await scheduler.lease("slot0", "cpu", 0.0, most=64)
        assert [trial.trial for trial in taken] == expected
        await scheduler.complete("slot0", done(*expected))
