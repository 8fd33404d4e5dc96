"""One engine under calls for runs that are not there, watchers that come and go, registrations and tiny runs.

Prints its slots in LMDB's reader table, descriptors, threads and memory at start, middle and end, and whether they are
flat. Exit code 1 where one grows, or where health said SERVING while a call failed.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

import grpc
import lmdb
import numpy as np
import psutil
import report
from grpc_health.v1 import health_pb2, health_pb2_grpc

from neunets.errors import NotReady
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets_client.client import Client
from neunets_client.connection import CHANNEL_OPTIONS, Connection

SAMPLE_EVERY_S: Final = 1.0
DEADLINE_S: Final = 30.0
ABSENT_PAUSE_S: Final = 0.02
WATCH_S: Final = 1.0
REGISTER_EVERY_S: Final = 2.0
WARM_UP: Final = 0.2  # The part of the time in which libraries are loaded and pools filled: growth is no leak there.
KEPT_RUNS: Final = 2
ABSENT: Final = "runs/20200101-000000-abcdef"


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of the engine's process."""

    reader_slots: int
    descriptors: int
    threads: int
    memory_mib: int


# What a measure may grow by between the first and the last third behind the warm-up: pools and caches are not exact.
ALLOWED: Final = Sample(reader_slots=4, descriptors=16, threads=8, memory_mib=24)


@dataclass
class Watched:
    """What the threads have seen; each of them appends to it, which needs no lock."""

    samples: list[Sample] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def sample(home: Path, pid: int) -> Sample:
    with lmdb.open(str(home / "store"), readonly=True, max_dbs=1) as environment:
        rows = [line.split() for line in environment.readers().splitlines()]
    process = psutil.Process(pid)
    slots = sum(1 for row in rows if row and row[0] == str(pid))
    return Sample(slots, process.num_fds(), process.num_threads(), process.memory_info().rss >> 20)


def images(path: Path, seed: int) -> Path:
    """Two classes of 8 x 8 images that differ in brightness."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], 60)
    x = (rng.random((120, 8, 8)) * 120 + y[:, None, None] * 100).astype(np.uint8)
    np.savez(path, x_train=x, y_train=y)
    return path


def ask_for_absent_runs(target: str, watched: Watched) -> Iterator[None]:
    """Every call is NOT_FOUND."""
    with grpc.insecure_channel(target, CHANNEL_OPTIONS) as channel:
        runs, models = service_pb2_grpc.RunsStub(channel), service_pb2_grpc.ModelsStub(channel)
        model = f"{ABSENT}/models/t000001"
        calls: list[Callable[[], object]] = [
            lambda: runs.Get(service_pb2.GetRunRequest(name=ABSENT), timeout=DEADLINE_S),
            lambda: list(runs.Watch(service_pb2.WatchRunRequest(name=ABSENT), timeout=DEADLINE_S)),
            lambda: runs.Resume(service_pb2.ResumeRunRequest(name=ABSENT), timeout=DEADLINE_S),
            lambda: runs.Delete(service_pb2.DeleteRunRequest(name=ABSENT), timeout=DEADLINE_S),
            lambda: models.List(service_pb2.ListModelsRequest(parent=ABSENT), timeout=DEADLINE_S),
            lambda: models.Get(service_pb2.GetModelRequest(name=model), timeout=DEADLINE_S),
            lambda: models.Pick(service_pb2.PickModelRequest(name=model), timeout=DEADLINE_S),
        ]
        for call in itertools.cycle(calls):
            try:
                call()
                watched.faults.append("a call for a run that is not there was answered")
            except grpc.RpcError as error:
                watched.answers[error.code().name] += 1
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    watched.faults.append(f"{error.code().name} in place of NOT_FOUND: {error.details()}")
            time.sleep(ABSENT_PAUSE_S)
            yield


def come_and_go(target: str, watched: Watched) -> Iterator[None]:
    """Watch all runs, each over a connection of its own, which is closed in the middle."""
    while True:
        with grpc.insecure_channel(target, CHANNEL_OPTIONS) as channel:
            runs = service_pb2_grpc.RunsStub(channel)
            for run in runs.List(service_pb2.ListRunsRequest(), timeout=DEADLINE_S).runs:
                stream = runs.Watch(service_pb2.WatchRunRequest(name=run.name), timeout=WATCH_S)
                with contextlib.suppress(grpc.RpcError):  # the deadline, or deleted meanwhile
                    watched.answers["events"] += sum(1 for _ in itertools.islice(stream, 20))
                stream.cancel()
        yield


def register(target: str, folder: Path, watched: Watched) -> Iterator[None]:
    """The same data in every second call, else new ones."""
    with Connection(target) as connection:
        client = Client(connection)
        for number in itertools.count():
            client.register(str(images(folder / "some.npz", number // 2)))
            watched.answers["registrations"] += 1
            time.sleep(REGISTER_EVERY_S)
            yield


def synthesize(target: str, folder: Path, watched: Watched) -> Iterator[None]:
    """Whole runs of one trial; the oldest are deleted."""
    with Connection(target) as connection:
        client = Client(connection)
        dataset = client.register(str(images(folder / "runs.npz", 0))).name
        kept: list[str] = []
        for number in itertools.count():
            run = client.create(dataset, trials=1, seed=number, max_params=20000, mirror=service_pb2.RunSpec.MIRROR_NO)
            ended = client.wait(run.name)
            watched.answers[service_pb2.RunState.Name(ended.state)] += 1
            if ended.state != service_pb2.RUN_STATE_COMPLETED:
                watched.faults.append(f"{run.name} has not completed: {ended.reason}")
            kept.append(run.name)
            if len(kept) > KEPT_RUNS:
                client.delete(kept.pop(0))
            yield


def doubt_health(target: str, watched: Watched) -> Iterator[None]:
    """Where health says SERVING before and after a call, the call succeeds."""
    with grpc.insecure_channel(target, CHANNEL_OPTIONS) as channel:
        health, runs = health_pb2_grpc.HealthStub(channel), service_pb2_grpc.RunsStub(channel)

        def serves() -> bool:
            reply = health.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S)
            return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

        while True:
            before, problem = serves(), ""
            try:
                runs.List(service_pb2.ListRunsRequest(), timeout=DEADLINE_S)
            except grpc.RpcError as error:
                problem = f"{error.code().name}: {error.details()}"
            is_serving = before and serves()
            watched.answers["SERVING" if is_serving else "NOT_SERVING"] += 1
            if is_serving and problem:
                watched.faults.append(f"health says SERVING while a call fails: {problem}")
            time.sleep(SAMPLE_EVERY_S)
            yield


def soak(minutes: float, folder: Path) -> Watched:
    """Everything at once, against an engine of its own in `folder`."""
    watched, over = Watched(), threading.Event()

    def keep(work: Iterator[None]) -> None:
        try:
            while not over.is_set():
                next(work)
        except Exception as error:  # the thread's outermost loop: work that ended is a fault
            watched.faults.append(f"{type(error).__name__}: {error}")

    home = folder / "home"
    with Connection(home=home) as connection:
        target, pid = connection.target, connection.engine_pid
        if pid is None:
            raise NotReady(f"another engine works on {home}")
        works = [ask_for_absent_runs(target, watched) for _ in range(4)]
        works += [come_and_go(target, watched), doubt_health(target, watched)]
        works += [register(target, folder, watched), synthesize(target, folder, watched)]
        threads = [threading.Thread(target=keep, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 60 * minutes
        try:
            while time.monotonic() < end and psutil.pid_exists(pid):
                watched.samples.append(sample(home, pid))
                time.sleep(SAMPLE_EVERY_S)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    return watched


def growth(samples: list[Sample]) -> dict[str, tuple[int, int, int]]:
    """Medians of each measure over the three thirds that follow the warm-up."""
    settled = samples[int(WARM_UP * len(samples)) :]
    third = max(1, len(settled) // 3)
    parts = (settled[:third], settled[third : 2 * third] or settled, settled[-third:])
    return {
        each.name: tuple(round(statistics.median(getattr(one, each.name) for one in part)) for part in parts)  # type: ignore[misc]
        for each in fields(Sample)
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=30.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        watched = soak(arguments.minutes, Path(folder))
    measured = growth(watched.samples)
    grown = [name for name, (start, _, end) in measured.items() if end - start > getattr(ALLOWED, name)]
    for name, values in measured.items():
        most = max(getattr(one, name) for one in watched.samples)
        print(f"{name:14s} start {values[0]:5d}  middle {values[1]:5d}  end {values[2]:5d}  most {most:5d}")
    print("answers:", ", ".join(f"{count} {name}" for name, count in watched.answers.items()))
    for fault, count in Counter(watched.faults).most_common(10):
        print(f"fault, {count} times: {fault}")
    print("flat" if not grown else f"not flat: {', '.join(grown)} grow")
    result = {"minutes": arguments.minutes, "measured": measured, "answers": dict(watched.answers), "grown": grown}
    if arguments.minutes >= 30:
        report.write("soak", [0], {**result, "faults": len(watched.faults)})
    return 1 if grown or watched.faults else 0


if __name__ == "__main__":
    sys.exit(main())
