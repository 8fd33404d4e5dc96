"""`kill -9` of the engine, of the plugin, of a worker, each at random moments of a run; what has to hold afterwards.

Each disturbed run has to complete with the same candidates, in the same order, as the undisturbed one; every trial is
counted once; the wall time is never refunded. Exit code 1 where anything failed.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import psutil
import report
from sklearn.datasets import load_digits

from neunets.canonical import canonical_hash
from neunets.errors import NeunetsError
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_from_proto
from neunets_client.client import Client
from neunets_client.connection import Connection

TARGETS: Final = ("engine", "plugin", "worker")
TRIALS: Final = 4
SEED: Final = 0
# The clock is kept every second; what was counted and what was seen may differ by the ends of both.
CLOCK_TOLERANCE_S: Final = 0.5


@dataclass
class History:
    """What the events of a run tell."""

    candidates: list[str] = field(default_factory=list)  # hashes, in order
    ends: Counter[str] = field(default_factory=Counter)  # final ends of each trial
    finals: set[str] = field(default_factory=set)
    seqs: list[int] = field(default_factory=list)
    run: service_pb2.Run = field(default_factory=service_pb2.Run)
    seconds: float = 0.0

    def take(self, response: service_pb2.WatchRunResponse) -> None:
        self.run.CopyFrom(response.run)
        if not response.HasField("event"):
            return
        event = response.event
        self.seqs.append(event.seq)
        if event.WhichOneof("event") == "final_training":
            self.finals.add(event.final_training.trial)
        if event.WhichOneof("event") == "search":
            self._search(event.search)

    def _search(self, event: synthesizer_pb2.Event) -> None:
        if event.WhichOneof("event") == "proposed":
            graphs = (graph_from_proto(entry.candidate.graph) for entry in event.proposed.candidates)
            self.candidates += map(canonical_hash, graphs)
        if event.WhichOneof("event") == "ended" and not event.ended.will_retry:
            self.ends[event.ended.trial] += 1


def follow(client: Client, name: str) -> History:
    history = History()
    for response in client.watch(name):
        history.take(response)
    history.run.CopyFrom(client.get(name))
    return history


def victim(engine: int, target: str) -> psutil.Process | None:
    """The process to kill; None where it is just being started again."""
    process = psutil.Process(engine)
    if target == "engine":
        return process
    module = {"plugin": "neunets_random", "worker": "neunets_trainer"}[target]
    children = [child for child in process.children(recursive=True) if module in child.cmdline()]
    return random.choice(children) if children else None


def undisturbed(connection: Connection, dataset: str) -> History:
    client = Client(connection)
    run = client.create(dataset, trials=TRIALS, seed=SEED)
    begin = time.monotonic()
    history = follow(client, run.name)
    history.seconds = time.monotonic() - begin
    return history


def disturbed(connection: Connection, dataset: str, target: str, after_s: float) -> tuple[History, list[str]] | None:
    """A run whose `target` is killed after so many seconds; returns its history and what went wrong outside it.

    None: there was nothing to kill, or the run was over before.
    """
    client = Client(connection)
    run = client.create(dataset, trials=TRIALS, seed=SEED)
    connection.take_up = run.name.removeprefix("runs/")
    created = time.monotonic()
    killed: dict[str, float] = {}

    def kill() -> None:
        pid = connection.engine_pid
        process = victim(pid, target) if pid is not None else None
        if process is not None:
            killed["used_s"] = client.get(run.name).wall_s
            killed["at"] = time.monotonic()
            process.send_signal(signal.SIGKILL)

    timer = threading.Timer(after_s, kill)
    timer.start()
    try:
        history = follow(client, run.name)
        ended = time.monotonic()
    finally:
        timer.join()
    if killed.get("at", ended) >= ended:
        return None
    # Between the kill of an engine and the start of the next one nobody counts.
    alive_s = (killed["at"] if target == "engine" else ended) - created
    faults = []
    if history.run.wall_s < max(killed["used_s"], alive_s - CLOCK_TOLERANCE_S):
        faults.append(f"{history.run.wall_s:.2f} s were counted, {alive_s:.2f} s were used before the end")
    return history, faults


def faults_of(history: History, expected: History) -> list[str]:
    faults = []
    if history.run.state != service_pb2.RUN_STATE_COMPLETED:
        faults.append(f"{service_pb2.RunState.Name(history.run.state)}: {history.run.reason}")
    if history.candidates != expected.candidates:
        faults.append("other candidates, or another order")
    if history.seqs != list(range(1, len(history.seqs) + 1)):
        faults.append("the events are not contiguous")
    search = {trial for trial in history.ends if trial not in history.finals}
    if len(search) != TRIALS or history.run.trials_ended != TRIALS:
        faults.append(f"{len(search)} trials ended, {history.run.trials_ended} are counted, {TRIALS} were asked for")
    twice = [trial for trial, count in history.ends.items() if count != 1]
    if twice:
        faults.append(f"{twice} ended more than once")
    if len(history.finals) != 3:  # trained on, trained anew, and measured
        faults.append(f"{len(history.finals)} final trainings")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=30, help="of each target")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--no-report", action="store_true", help="print only")
    arguments = parser.parse_args()
    moments = random.Random(SEED)
    failed = 0
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        data = Path(scratch) / "small.npz"
        digits = load_digits()
        images = (digits.images[:400] * 15).astype(np.uint8)
        np.savez(data, x_train=images, y_train=digits.target[:400])
        for target in arguments.targets:
            # A home for each target: faults of one are no history of the next.
            home = Path(scratch) / target
            with Connection(None, home) as connection:
                dataset = Client(connection).register(str(data), SEED).name
                undisturbed(connection, dataset)  # the first run also waits for the workers
                expected = undisturbed(connection, dataset)
                print(f"{target}: undisturbed {expected.seconds:.1f} s, {len(expected.candidates)} candidates")
            done = 0
            while done < arguments.moments:
                after_s = moments.uniform(0.0, expected.seconds)
                with Connection(None, home) as connection:
                    try:
                        answer = disturbed(connection, dataset, target, after_s)
                        if answer is None:
                            print(f"{target}: {after_s:.2f} s were too late, once more", flush=True)
                            continue
                        faults = answer[1] + faults_of(answer[0], expected)
                    except NeunetsError as error:
                        faults = [error.message]
                done += 1
                rows.append({"target": target, "after_s": round(after_s, 3), "faults": faults})
                failed += bool(faults)
                print(f"{target} {done}/{arguments.moments} at {after_s:.2f} s: {faults or 'ok'}", flush=True)
    print(f"{len(rows) - failed} of {len(rows)} disturbed runs ended as the undisturbed one")
    if not arguments.no_report:
        print(report.write("crashes", [SEED], {"trials": TRIALS, "moments": rows, "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
