"""How many trials a second the engine orchestrates when training costs nothing: every trial is proposed by a plugin's
process, admitted, leased to a worker's process, ended and ingested, and every step of it is durable.

The rate is that of the ended trials that the store keeps, over some seconds, once so many trials are stored: alone, and
with clients that watch. After the last measurement the engine is killed, and what it had told has to be there. Beside
it, in the same run: Optuna with a journal file, and the same behind its gRPC proxy, with as many processes as there are
workers and an objective that costs nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import optuna
import report
from grpc_health.v1 import health_pb2, health_pb2_grpc
from optuna.storages import GrpcStorageProxy, JournalStorage, run_grpc_proxy_server
from optuna.storages.journal import JournalFileBackend

from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets.sockets import channel_options
from neunets_client.client import Client
from neunets_client.connection import Connection

HERE: Final = Path(__file__).resolve().parent
WORKERS: Final = len(os.sched_getaffinity(0))
PLUGIN: Final = "counting"
WATCHERS: Final = 50
ENOUGH: Final = 10_000_000
START_S: Final = 120.0
GOAL: Final = {"trials_per_s": 1000.0, "over_optuna_journal": 5.0, "propose_p99_ms": 5.0, "watchers_cost": 0.2}


@contextmanager
def engine(home: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], Connection]]:
    target = f"unix:{home / 'engine.sock'}"
    command = [sys.executable, "-m", "neunets_engine", "--home", str(home), "--listen", target]
    command += ["--devices", ",".join(["cpu"] * WORKERS)]
    command += ["--trainer", f"{sys.executable} {HERE / 'instant_trainer.py'}"]
    command += ["--plugin", f"{PLUGIN}={sys.executable} {HERE / 'counting_synthesizer.py'}", *options]
    with (home.parent / "engine.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with grpc.insecure_channel(target, channel_options(target)) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            check(health_pb2.HealthCheckRequest(), timeout=START_S, wait_for_ready=True)
        with Connection(target, home) as connection:
            yield process, connection
    finally:
        process.kill()
        process.wait()


@contextmanager
def watching(target: str, run: service_pb2.Run, most: int) -> Iterator[list[int]]:
    """While inside, all clients watch from now on; afterwards the list has the events that each has seen."""
    command = [sys.executable, str(HERE / "watchers.py"), target, run.name, str(run.seq), str(WATCHERS), str(most)]
    seen: list[int] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield seen
        process.send_signal(signal.SIGTERM)
        seen += map(int, process.stdout.readline().split())
        process.kill()


def rate(client: Client, run: str, seconds: float) -> float:
    """Ended trials a second."""
    begin, before = time.monotonic(), client.get(run).trials_ended
    time.sleep(seconds)
    ended, end = client.get(run).trials_ended, time.monotonic()
    return (ended - before) / (end - begin)


def propose(connection: Connection) -> dict[str, float]:
    request = service_pb2.GetSynthesizerRequest(name=PLUGIN)
    info = service_pb2_grpc.SynthesizersStub(connection.channel).Get(request, timeout=START_S)
    found = next(latency for latency in info.latencies if latency.method == "Propose")
    return {"propose_p50_ms": round(found.p50_ms, 3), "propose_p99_ms": round(found.p99_ms, 3)}


def measured(connection: Connection, run: str, seconds: float, plain: bool) -> dict[str, Any]:
    """As the run stands now."""
    client = Client(connection)
    target = connection.target
    stored = client.get(run).trials_ended
    before = rate(client, run, seconds)
    latency = propose(connection)
    with watching(target, client.get(run), 1000) as seen:
        watched = rate(client, run, seconds)
    after = rate(client, run, seconds)
    alone = (before + after) / 2
    found: dict[str, Any] = {"trials_stored": stored, "trials_per_s": round(alone, 1), **latency}
    found |= {"watched_trials_per_s": round(watched, 1), "watchers_cost": round(1 - watched / alone, 3)}
    found["events_per_watcher_per_s"] = round(min(seen) / seconds, 1)
    if plain:
        with watching(target, client.get(run), 1) as seen:
            found["plain_watchers_cost"] = round(1 - rate(client, run, seconds) / alone, 3)
    return found


def ours(stored: list[int], seconds: float, scratch: Path) -> list[dict[str, Any]]:
    home, rows = scratch / "home", []
    with engine(home) as (process, connection):
        client = Client(connection)
        dataset = client.register("digits", seed=0)
        mirror = service_pb2.RunSpec.MIRROR_NO
        run = client.create(dataset.name, synthesizer=PLUGIN, trials=ENOUGH, mirror=mirror).name
        for count in stored:
            while (current := client.get(run)).trials_ended < count:
                assert current.state not in (service_pb2.RUN_STATE_PAUSED, service_pb2.RUN_STATE_FAILED), current.reason
                time.sleep(0.2)
            rows.append(measured(connection, run, seconds, plain=count == stored[0]))
            print(rows[-1], flush=True)
        told = client.get(run).trials_ended
        process.kill()
        process.wait()
    with engine(home, "--take-up", "none") as (_, connection):
        kept = Client(connection).get(run).trials_ended
    assert kept >= told, f"{told} trials had ended, {kept} are left"
    rows[-1]["kept_after_kill"] = kept - told
    return rows


def objective(trial: optuna.Trial) -> float:
    """What a network of the chain space has: some depths, widths and a kernel."""
    depth = trial.suggest_int("depth", 1, 6)
    width = trial.suggest_categorical("width", [8, 16, 32, 64])
    kernel = trial.suggest_categorical("kernel", [3, 5])
    rate = trial.suggest_float("learning_rate", 1e-3, 1.0, log=True)
    return depth * width * kernel * rate


def optimize(kind: str, where: str, seed: int, seconds: float, begin: Any, count: Any) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(
        study_name="rate", storage=_storage(kind, where), sampler=optuna.samplers.RandomSampler(seed)
    )
    begin.wait()
    end, done = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        study.optimize(objective, n_trials=1)
        done += 1
    with count.get_lock():
        count.value += done


def _storage(kind: str, where: str) -> optuna.storages.BaseStorage:
    if kind == "journal":
        return JournalStorage(JournalFileBackend(where))
    return GrpcStorageProxy(host="localhost", port=int(where))


def serve(journal: str, port: int) -> None:
    run_grpc_proxy_server(_storage("journal", journal), host="localhost", port=port)


def theirs(kind: str, seconds: float, scratch: Path) -> float:
    """Trials a second of Optuna, from an empty study on."""
    spawn = multiprocessing.get_context("spawn")
    where, server = str(scratch / f"{kind}.log"), None
    if kind == "grpc":
        with socket.socket() as listener:
            listener.bind(("localhost", 0))
            port = listener.getsockname()[1]
        server = spawn.Process(target=serve, args=(where, port), daemon=True)
        server.start()
        where = str(port)
        proxy = GrpcStorageProxy(host="localhost", port=port)
        proxy.wait_server_ready(timeout=60)
    optuna.create_study(study_name="rate", storage=_storage(kind, where))
    begin, count = spawn.Barrier(WORKERS), spawn.Value("l", 0)
    processes = [
        spawn.Process(target=optimize, args=(kind, where, seed, seconds, begin, count)) for seed in range(WORKERS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if server is not None:
        server.kill()
    return float(count.value) / seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stored", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        rows = ours(arguments.stored, arguments.seconds, Path(folder))
        peers = {kind: round(theirs(kind, arguments.seconds, Path(folder)), 1) for kind in ("journal", "grpc")}
    first, last = rows[0], rows[-1]
    ratios = {kind: round(first["trials_per_s"] / peer, 2) for kind, peer in peers.items()}
    reached = {
        "trials_per_s": min(row["trials_per_s"] for row in rows) >= GOAL["trials_per_s"],
        "over_optuna_journal": ratios["journal"] >= GOAL["over_optuna_journal"],
        "propose_p99_ms": last["propose_p99_ms"] < GOAL["propose_p99_ms"],
        "watchers_cost": max(row["watchers_cost"] for row in rows) < GOAL["watchers_cost"],
    }
    result = {"rows": rows, "optuna_trials_per_s": peers, "over_optuna": ratios, "goal": GOAL, "reached": reached}
    print(f"over Optuna: journal {ratios['journal']}, gRPC {ratios['grpc']}; goals reached: {reached}")
    print(report.write("orchestration", [0], result | {"optuna": optuna.__version__}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
