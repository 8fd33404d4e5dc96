"""What is killed or stopped in the middle of a run costs time alone: same candidates, each trial once."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from engines import History, children, engine, follow, processes
from fakes import small_images
from neunets.errors import NotFound
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets_client.client import Client
from neunets_client.connection import Connection
from neunets_engine.tenure import FENCED, TENURE_S

TRIALS = 6


def begin(connection: Connection, images: Path) -> tuple[Client, str]:
    client = Client(connection)
    dataset = client.register(str(images), seed=0)
    return client, client.create(dataset.name, synthesizer="good", trials=TRIALS, seed=3).name


def until(client: Client, name: str, kind: str, count: int) -> service_pb2.Run:
    """The run as it is when the `count`th search event of that kind has happened."""
    seen = 0
    for response in client.watch(name):
        seen += response.event.search.WhichOneof("event") == kind
        if seen == count:
            return response.run
    raise AssertionError(f"the run ended before event {count} of kind {kind}")


def child(home: Path, module: str) -> psutil.Process:
    return children(home, module)[0]


def check(history: History, expected: History) -> None:
    assert history.state == "COMPLETED"
    assert history.candidates() == expected.candidates()
    assert [event.seq for event in history.events] == list(range(1, len(history.events) + 1))
    final = [event.final_training.trial for event in history.events if event.WhichOneof("event") == "final_training"]
    counts = Counter(end.trial for end in history.ends())
    assert set(counts.values()) == {1}
    assert len(counts.keys() - set(final)) == history.run.trials_ended == TRIALS
    assert len(final) == 3  # trained on, trained anew, and measured
    assert _accuracies(history) == _accuracies(expected)


def _accuracies(history: History) -> dict[str, float]:
    return {end.trial: end.metrics["valid_loss"] for end in history.ends()}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_images(tmp_path_factory.mktemp("data") / "small.npz")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, images: Path) -> History:
    with engine(tmp_path_factory.mktemp("home")) as connection:
        client, name = begin(connection, images)
        return follow(client, name)


@pytest.mark.parametrize(("kind", "count"), [("proposed", 1), ("started", 3), ("ended", TRIALS), ("ended", TRIALS + 3)])
def test_a_killed_engine_is_followed_by_one_that_goes_on(
    tmp_path: Path, images: Path, expected: History, kind: str, count: int
) -> None:
    with engine(tmp_path) as connection:
        client, name = begin(connection, images)
        used_s = until(client, name, kind, count).wall_s
        for process in processes(tmp_path):
            process.send_signal(signal.SIGKILL)
            process.wait(30)
    with engine(tmp_path) as connection:
        history = follow(Client(connection), name)
    check(history, expected)
    assert history.run.wall_s > used_s


@pytest.mark.parametrize("module", ["synthesizers.py good", "neunets_trainer"])
@pytest.mark.parametrize(("kind", "count"), [("proposed", 1), ("ended", 2)])
def test_a_killed_plugin_or_worker_is_started_again(
    tmp_path: Path, images: Path, expected: History, module: str, kind: str, count: int
) -> None:
    with engine(tmp_path) as connection:
        client, name = begin(connection, images)
        until(client, name, kind, count)
        child(tmp_path, module).kill()
        check(follow(client, name), expected)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["synthesizers.py good", "neunets_trainer"])
def test_a_stopped_plugin_or_worker_is_noticed(tmp_path: Path, images: Path, expected: History, module: str) -> None:
    with engine(tmp_path) as connection:
        client, name = begin(connection, images)
        until(client, name, "started", 1)
        child(tmp_path, module).suspend()
        check(follow(client, name), expected)


def suspend(process: psutil.Process, home: Path) -> None:
    """Stop an engine, though not within a write, in which it would hold up every other."""
    program = "import lmdb, sys; lmdb.open(sys.argv[1], max_dbs=1).begin(write=True).abort()"
    while True:
        process.suspend()
        try:
            subprocess.run([sys.executable, "-c", program, str(home / "store")], check=True, timeout=10)
        except subprocess.TimeoutExpired:
            process.resume()
        else:
            return


@pytest.mark.slow
@pytest.mark.parametrize("is_seen", [True, False])
@pytest.mark.parametrize(("kind", "count"), [("started", 1), ("ended", TRIALS)])
def test_an_engine_that_wakes_after_another_took_over_drives_nothing(
    tmp_path: Path, images: Path, expected: History, kind: str, count: int, is_seen: bool
) -> None:
    with engine(tmp_path) as connection:
        client, name = begin(connection, images)
        until(client, name, kind, count)
        (before,) = processes(tmp_path)
        children = before.children(recursive=True)
        lock = tmp_path / "engine.lock"
        if is_seen:
            before.suspend()
        else:
            suspend(before, tmp_path)
            lock.write_text("")  # as if it were in another container
        try:
            os.utime(lock, (0, time.time() - TENURE_S))  # as if that had been some time ago
            with engine(tmp_path) as after:
                client = Client(after)
                until(client, name, "ended", 1)
                with contextlib.suppress(psutil.NoSuchProcess):
                    before.resume()
                assert before.wait(30) == (-signal.SIGKILL if is_seen else FENCED)
                assert not psutil.wait_procs(children, timeout=30)[1]
                check(follow(client, name), expected)
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                before.resume()


def test_an_embedded_engine_ends_with_its_last_user_however_that_ends(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from neunets_client.connection import Connection\n"
        "connection = Connection(None, Path(sys.argv[1])); connection.ensure()\n"
        "print(connection.engine_pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        embedded = psutil.Process(int(process.stdout.readline()))
        os.kill(process.pid, signal.SIGKILL)
        embedded.wait(30)
    assert not embedded.is_running()


def test_a_run_whose_synthesizer_is_gone_is_paused_until_it_is_back(tmp_path: Path, images: Path) -> None:
    with engine(tmp_path) as connection:
        client, name = begin(connection, images)
        until(client, name, "started", 1)
    with Connection(None, tmp_path, take_up="all") as connection:
        client = Client(connection)
        history = follow(client, name)
        assert history.state == "PAUSED"
        assert "no synthesizer 'good' is installed" in history.run.reason
        with pytest.raises(NotFound, match="good"):
            client.resume(name)
    with engine(tmp_path) as connection:
        client = Client(connection)
        client.resume(name)
        assert follow(client, name).state == "COMPLETED"


def test_the_sockets_of_plugins_are_in_a_private_folder(tmp_path: Path) -> None:
    with engine(tmp_path / "home") as connection:
        assert Client(connection).synthesizers()
        assert stat.S_IMODE((tmp_path / "home" / "plugins").stat().st_mode) == 0o700


def test_each_process_of_a_plugin_has_a_socket_folder_of_its_own(tmp_path: Path) -> None:
    def folders() -> set[Path]:
        found = [process.environ()["NEUNETS_SOCKET_DIR"] for process in children(tmp_path, "synthesizers.py")]
        return {Path(folder) for folder in found}

    with engine(tmp_path) as connection:
        stub = service_pb2_grpc.SynthesizersStub(connection.channel)
        for name in ("good", "small"):
            stub.Get(service_pb2.GetSynthesizerRequest(name=name), timeout=60)
        before = folders()
        assert len(before) == 2
        assert {stat.S_IMODE(folder.stat().st_mode) for folder in before} == {0o700}
        stub.Drain(service_pb2.DrainSynthesizerRequest(name="good"), timeout=60)
        assert {folder for folder in before if folder.exists()} == folders()
    assert not any(folder.exists() for folder in before)


@pytest.mark.slow
def test_modules_in_the_current_folder_change_nothing(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("types", "json", "torch", "grpc", "neunets", "numpy", "neunets_engine", "neunets_trainer", "lmdb"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user')")
    monkeypatch.chdir(tmp_path)
    with Connection(None, tmp_path / "home") as connection:
        client = Client(connection)
        dataset = client.register(str(images), seed=0)
        assert follow(client, client.create(dataset.name, synthesizer="random", trials=1).name).state == "COMPLETED"


def test_two_engines_do_not_share_a_folder(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "neunets_engine",
        "--home",
        str(tmp_path),
        "--listen",
        f"unix:{tmp_path / 'other'}",
    ]
    with engine(tmp_path):
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert second.returncode == 3
    assert "another engine works on" in second.stderr
