"""A worker that hangs, leaks or dies costs its own trial's time at most."""

from __future__ import annotations

import random
from pathlib import Path

import psutil
import pytest

from engines import History, children, follow
from fakes import small_images
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_client.client import Client
from system.faults import Unusual, unusual_engine

ENDED = synthesizer_pb2.TrialEnded
# Within a worker: memory that nobody needs, which makes it several times as large, once there is a reason to.
LEAK = """
import os, sys, threading, time
def leak():
    while not os.path.exists(os.path.join(os.path.dirname(__file__), "leak")):
        time.sleep(0.05)
    held = b"1" * (1 << 30)
    threading.Event().wait()
if "neunets_trainer" in sys.orig_argv:
    threading.Thread(target=leak, daemon=True).start()
"""
# Within a worker: no array is loaded while there is a reason not to.
HANG = """
import os, sys, threading
if "neunets_trainer" in sys.orig_argv:
    import numpy
    load = numpy.load
    def hang(*given, **named):
        if os.path.exists(os.path.join(os.path.dirname(__file__), "hang")):
            threading.Event().wait()
        return load(*given, **named)
    numpy.load = hang
"""
# More than small things need, and less than the weights of one large layer.
ROOM_BYTES = 100 << 20


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_images(tmp_path_factory.mktemp("data") / "small.npz")


def begin(client: Client, images: Path, synthesizer: str, trials: int) -> tuple[str, service_pb2.Dataset]:
    dataset = client.register(str(images), seed=0)
    return client.create(dataset.name, synthesizer=synthesizer, trials=trials, seed=3).name, dataset


def until(client: Client, name: str, kind: str, count: int) -> None:
    """The `count`th search event of that kind has happened."""
    seen = 0
    for response in client.watch(name):
        seen += response.event.search.WhichOneof("event") == kind
        if seen == count:
            return
    raise AssertionError(f"the run ended before event {count} of kind {kind}")


def worker_of(home: Path) -> psutil.Process:
    return children(home, "neunets_trainer")[0]


def outcomes(history: History) -> dict[str, tuple[ENDED.State.ValueType, str]]:
    return {end.trial: (end.state, end.error.code) for end in history.ends()}


def test_a_job_that_hangs_under_live_heartbeats_is_ended_at_its_deadline(tmp_path: Path, images: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HANG)
    (tmp_path / "hang").touch()
    with unusual_engine(tmp_path, Unusual(heartbeat_s=2.0, report_s=0.8), tmp_path) as connection:
        client = Client(connection)
        name, _ = begin(client, images, "good", 2)
        until(client, name, "ended", 1)
        (tmp_path / "hang").unlink()
        history = follow(client, name)
    assert history.state == "COMPLETED"
    states = outcomes(history)
    assert states["t000001"] == (ENDED.STATE_FAILED, "TIMED_OUT")
    assert states["t000002"] == (ENDED.STATE_SUCCEEDED, "")
    (failed,) = [end for end in history.ends() if end.error.code]
    assert "no report within the deadline of 4 s" in failed.error.summary
    assert failed.attempt == 1


def test_a_stopped_worker_is_replaced_and_its_trial_goes_on(tmp_path: Path, images: Path) -> None:
    with unusual_engine(tmp_path, Unusual(heartbeat_s=1.0)) as connection:
        client = Client(connection)
        name, _ = begin(client, images, "good", 2)
        until(client, name, "started", 1)
        stopped = worker_of(tmp_path)
        stopped.suspend()
        history = follow(client, name)
    assert history.state == "COMPLETED"
    assert not stopped.is_running()
    assert {state for state, _ in outcomes(history).values()} == {ENDED.STATE_SUCCEEDED}
    assert [event.ended.error.code for event in history.search if event.ended.will_retry] in ([], ["WORKER_LOST"])


def test_a_worker_that_leaks_is_replaced_between_two_trials(tmp_path: Path, images: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(LEAK)
    with unusual_engine(tmp_path, Unusual(memory_bytes=1), tmp_path) as connection:
        client = Client(connection)
        follow(client, begin(client, images, "good", 1)[0])
        before = worker_of(tmp_path)
        (tmp_path / "leak").touch()
        name, _ = begin(client, images, "good", 20)
        history = follow(client, name)
        assert not before.is_running()
    assert history.state == "COMPLETED"
    assert not [event for event in history.search if event.ended.will_retry]  # no trial was lost with it
    log = (tmp_path / "engine.log").read_text()
    assert "has grown too large" in log
    assert "ended: exit code" not in log


def test_memory_that_runs_out_twice_is_the_result_of_the_trial_alone(tmp_path: Path, images: Path) -> None:
    with unusual_engine(tmp_path, Unusual()) as connection:
        client = Client(connection)
        follow(client, begin(client, images, "good", 1)[0])
        worker = worker_of(tmp_path)
        limit = worker.memory_info().vms + ROOM_BYTES
        worker.rlimit(psutil.RLIMIT_AS, (limit, limit))
        short = follow(client, begin(client, images, "large", 1)[0])
        after = follow(client, begin(client, images, "good", 1)[0])
        assert worker.is_running()
    (first,) = [event.ended for event in short.search if event.ended.will_retry]
    (last,) = short.ends()
    for ended in (first, last):
        assert (ended.state, ended.error.code) == (ENDED.STATE_INFEASIBLE, "OUT_OF_MEMORY")
    assert (first.attempt, last.attempt) == (1, 2)
    assert after.state == "COMPLETED"


@pytest.mark.slow
def test_trials_whose_workers_are_killed_give_the_same_weights(tmp_path: Path, images: Path) -> None:
    with unusual_engine(tmp_path, Unusual()) as connection:
        client = Client(connection)
        expected = follow(client, begin(client, images, "long", 2)[0])
        name, _ = begin(client, images, "long", 2)
        draws = random.Random(5)
        kill_after(client, name, tmp_path, [draws.randint(1, 8), draws.randint(10, 17)])
        history = follow(client, name)
    assert history.state == "COMPLETED"
    assert len([event for event in history.search if event.ended.will_retry]) == 2
    assert weights(history) == weights(expected)


def kill_after(client: Client, name: str, home: Path, measurements: list[int]) -> None:
    """The worker, each time that the run has come to so many measurements: there are nine in each trial."""
    measured, has_worker = 0, False
    for response in client.watch(name):
        kind = response.event.search.WhichOneof("event")
        measured += kind == "measured"
        has_worker |= kind == "started"
        if measurements and has_worker and measured >= measurements[0]:
            worker_of(home).kill()
            measurements, has_worker = measurements[1:], False


def weights(history: History) -> dict[str, str]:
    return {end.trial: end.artifacts["weights"].sha256 for end in history.ends()}
