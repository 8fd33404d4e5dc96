"""The store on real LMDB files: transactions, order, fencing, growth, and what survives a kill."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neunets.errors import IllegalTransition, NotFound, RequestReused
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.lifecycle import State
from neunets_engine.store import Store, Wanted
from neunets_engine.store.environment import FIRST_MAP_BYTES, Environment

ENDED = synthesizer_pb2.TrialEnded


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


def a_run(name: str = "runs/r1", trials: int = 3) -> service_pb2.Run:
    return service_pb2.Run(name=name, spec=service_pb2.RunSpec(dataset="datasets/d", trials=trials))


def a_trial(name: str = "t000001") -> store_pb2.TrialRecord:
    return store_pb2.TrialRecord(
        run="r1", trial=name, candidate="c000001", state=service_pb2.TRIAL_STATE_WAITING, accumulate=1
    )


async def with_trial(store: Store) -> None:
    await store.create_run(a_run(), "")
    proposed = synthesizer_pb2.Proposed(candidates=[synthesizer_pb2.ProposedCandidate(id="c000001")])
    await store.record_proposals("r1", proposed, [(a_trial(), "hash")], [])


def ended(state: ENDED.State.ValueType, attempt: int = 1, retry: bool = False, accuracy: float = 0.5) -> ENDED:
    result = ENDED(
        candidate="c000001", trial="t000001", attempt=attempt, state=state, will_retry=retry,
        metrics={"valid_accuracy": accuracy},
    )  # fmt: skip
    result.artifacts["weights"].sha256 = "0" * 64
    return result


async def test_the_same_request_gives_the_same_run(store: Store) -> None:
    first = await store.create_run(a_run("runs/r1"), "id")
    again = await store.create_run(a_run("runs/r2"), "id")
    assert again.name == first.name == "runs/r1"
    assert [run.name for run in store.runs(10)] == ["runs/r1"]


async def test_a_request_id_with_another_body_is_refused(store: Store) -> None:
    await store.create_run(a_run(), "id")
    with pytest.raises(RequestReused, match="id"):
        await store.create_run(a_run("runs/r2", trials=4), "id")


async def test_an_unknown_run_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="runs/nowhere"):
        store.run("nowhere")


async def test_an_illegal_transition_changes_nothing(store: Store) -> None:
    await store.create_run(a_run(), "")
    with pytest.raises(IllegalTransition):
        await store.move("r1", State.COMPLETED)
    assert store.run("r1").run.seq == 1


async def test_runs_are_listed_newest_first_in_pages(store: Store) -> None:
    for number in range(5):
        await store.create_run(a_run(f"runs/r{number}"), "")
    assert [run.name for run in store.runs(2)] == ["runs/r4", "runs/r3"]
    assert [run.name for run in store.runs(9, last="r3")] == ["runs/r2", "runs/r1", "runs/r0"]


async def test_a_pause_goes_back_to_where_it_was(store: Store) -> None:
    await store.create_run(a_run(), "")
    await store.move("r1", State.INITIALIZING)
    await store.move("r1", State.PAUSED, "disk full")
    assert State((await store.resume("r1")).run.state) is State.INITIALIZING


async def test_epochs_grow_with_each_opening(tmp_path: Path) -> None:
    epochs = []
    for _ in range(3):
        store = Store(tmp_path / "store")
        epochs.append(await store.take_epoch())
        store.close()
    assert epochs == [1, 2, 3]


async def test_an_old_attempt_can_neither_report_nor_end_a_trial(store: Store) -> None:
    await with_trial(store)
    recipe = synthesizer_pb2.Recipe(epochs=1)
    await store.lease("r1", "w0", "cpu", [Wanted("t000001", recipe)])
    await store.release("r1", ended(ENDED.STATE_LOST, retry=True))
    await store.lease("r1", "w1", "cpu", [Wanted("t000001", recipe)])
    measured = synthesizer_pb2.Measured(trial="t000001", metrics={"valid_accuracy": 0.1})
    assert not await store.report("r1", 1, 5, measured, store_pb2.TrialRecord())
    assert await store.release("r1", ended(ENDED.STATE_SUCCEEDED)) == [False]
    second = ended(ENDED.STATE_SUCCEEDED, attempt=2)
    assert await store.release("r1", second) == [True]
    assert await store.release("r1", second) == [False]
    assert store.run("r1").run.trials_ended == 1


async def test_a_step_measured_twice_is_one_event(store: Store) -> None:
    await with_trial(store)
    await store.lease("r1", "w0", "cpu", [Wanted("t000001", synthesizer_pb2.Recipe(epochs=1))])
    measured = synthesizer_pb2.Measured(trial="t000001", metrics={"valid_accuracy": 0.1})
    for _ in range(3):
        assert await store.report("r1", 1, 5, measured, store_pb2.TrialRecord(device_s=1.0))
    kinds = [event.WhichOneof("event") for event in store.search_events("r1", 0)]
    assert kinds == ["proposed", "started", "measured"]
    assert len(store.metrics("r1", "t000001")) == 1


async def test_one_refused_write_does_not_undo_its_neighbours(store: Store) -> None:
    await store.create_run(a_run(), "")
    outcomes = await asyncio.gather(
        *(store.log("r1", "engine", "info", f"{n}") for n in range(20)),
        store.move("r1", State.COMPLETED),
        *(store.log("nowhere", "engine", "info", "x") for _ in range(3)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Exception) for outcome in outcomes) == 4
    assert store.run("r1").run.seq == 21


async def test_the_map_grows_when_it_is_full(tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    block = b"x" * (8 << 20)
    count = FIRST_MAP_BYTES // len(block) + 4
    for number in range(count):
        await environment.write(lambda writer, number=number: writer.put("meta", b"%d" % number, block))
    with environment.read() as reader:
        assert all(reader.get("meta", b"%d" % number) == block for number in range(count))
    environment.close()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 40), min_size=1, max_size=5))
def test_events_read_in_parts_are_the_log(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    async def check() -> None:
        store = Store(tmp_path_factory.mktemp("store"))
        await store.create_run(a_run(), "")
        await asyncio.gather(*(store.log("r1", "engine", "info", f"{n}") for n in range(40)))
        whole = store.events("r1", 0)
        assert [event.seq for event in whole] == list(range(1, 42))
        after = 0
        for cut in cuts:
            part = store.events("r1", after, cut)
            assert part == whole[after : after + cut]
            after += len(part)
        assert store.events("r1", after) == whole[after:]
        store.close()

    asyncio.run(check())


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    program = """
        import asyncio, sys
        from pathlib import Path
        from neunets.service.v1 import service_pb2
        from neunets_engine.store import Store

        async def main() -> None:
            store = Store(Path(sys.argv[1]))
            run = service_pb2.Run(name="runs/r1", spec=service_pb2.RunSpec(trials=1))
            await store.create_run(run, "")
            for number in range(10**6):
                await store.log("r1", "engine", "info", str(number))
                print(number, flush=True)

        asyncio.run(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(50)]
        os.kill(process.pid, signal.SIGKILL)
    store = Store(tmp_path)
    kept = [event.log.text for event in store.events("r1", 1, 10**6)]
    store.close()
    assert kept[: len(acknowledged)] == [str(number) for number in acknowledged]
    assert kept == [str(number) for number in range(len(kept))]


def test_an_older_engine_writes_nothing_more(tmp_path: Path) -> None:
    program = """
        import asyncio, sys
        from pathlib import Path
        from neunets.errors import StaleEpoch
        from neunets.service.v1 import service_pb2
        from neunets_engine.store import Store

        async def main():
            store = Store(Path(sys.argv[1]))
            await store.take_epoch(lambda: print("fenced", flush=True))
            await store.create_run(service_pb2.Run(name="runs/r1"), "")
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            try:
                await store.log("r1", "engine", "info", "late")
            except StaleEpoch as error:
                print(error.message, flush=True)

        asyncio.run(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        store = Store(tmp_path)
        epoch = asyncio.run(store.take_epoch())
        said, _ = process.communicate("go\n", timeout=60)
    assert said.splitlines() == [
        "fenced",
        f"an engine of epoch {epoch} has taken over from this one, of epoch {epoch - 1}",
    ]
    assert len(store.events("r1", 0)) == 1
    store.close()


async def test_the_last_trials_are_those_of_the_run(store: Store) -> None:
    for run in ("runs/r0", "runs/r1", "runs/r2"):
        await store.create_run(a_run(run), "")
        for number in range(1, 4):
            trial = a_trial(f"t{number:06d}")
            trial.run = run.removeprefix("runs/")
            await store.record_proposals(trial.run, synthesizer_pb2.Proposed(), [(trial, f"hash{number}")], [])
    assert [(trial.run, trial.trial) for trial in store.last_trials("r1", 2)] == [("r1", "t000003"), ("r1", "t000002")]
    assert len(store.last_trials("r1", 9)) == 3
    assert store.last_trials("r3", 9) == []


def test_reads_that_fail_keep_no_slot_of_the_reader_table(store: Store) -> None:
    kept: list[BaseException] = []  # as reference cycles of tracebacks keep them, until the collector runs

    def ask() -> None:
        for _ in range(50):
            for question in (store.run, store.trials, lambda run: store.trial(run, "t000001")):
                try:
                    question("r9")
                except NotFound as error:
                    kept.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 600
    assert store.reader_slots() <= 1


def test_a_scan_that_is_left_early_ends_with_its_transaction(tmp_path: Path) -> None:
    with contextlib.closing(Environment(tmp_path / "store")) as environment:
        with environment.read() as reader:
            rows = reader.scan("meta", b"", b"\xff")
            next(rows, None)
        assert list(rows) == []
        assert environment.reader_slots() <= 1
        with environment.read() as reader:
            assert list(reader.scan("meta", b"", b"\xff")) == []
