"""One engine a home, always; and what stands at an address is not the engine's to delete."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from engines import engine, follow, processes
from fakes import small_images
from neunets.service.v1 import service_pb2
from neunets_client.client import Client
from neunets_client.connection import CHANNEL_OPTIONS
from neunets_engine.tenure import TENURE_S


def start(home: Path, listen: str) -> subprocess.CompletedProcess[str]:
    """An engine that is expected to refuse."""
    command = [sys.executable, "-m", "neunets_engine", "--home", str(home), "--listen", listen]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def stand_still(home: Path) -> psutil.Process:
    """Stop the engine of `home`, as if it had been stopped for long."""
    process = processes(home)[0]
    process.suspend()
    os.utime(home / "engine.lock", (0, time.time() - TENURE_S))
    return process


@pytest.mark.parametrize("way", ["home", "link"])
def test_an_engine_that_took_over_holds_the_lock(tmp_path: Path, way: str) -> None:
    home, shown = tmp_path / "home", tmp_path / way
    home.mkdir(mode=0o700)
    if way == "link":
        shown.symlink_to(home)
    with engine(shown):
        before = stand_still(shown)
        with engine(shown) as after:
            assert before.wait(30) == -signal.SIGKILL
            refused = start(home, f"unix:{tmp_path}/other.sock")
            assert (refused.returncode, refused.stdout) == (3, "")
            assert f"another engine works on {home.resolve()}" in refused.stderr
            assert list(Client(after).runs()) == []


@pytest.mark.parametrize("ahead_s", [-3600.0, 3600.0])
def test_a_clock_that_was_set_is_no_sign_of_death(tmp_path: Path, ahead_s: float) -> None:
    with engine(tmp_path) as connection:
        os.utime(tmp_path / "engine.lock", (0, time.time() + ahead_s))
        assert "another engine works" in start(tmp_path, f"unix:{tmp_path}/other.sock").stderr
        assert list(Client(connection).runs()) == []


def test_a_busy_engine_is_not_taken_over_from(tmp_path: Path) -> None:
    with engine(tmp_path) as connection:
        signed = (tmp_path / "engine.lock").stat().st_mtime_ns
        os.utime(tmp_path / "engine.lock", (0, 0))
        deadline = time.monotonic() + 30
        while (tmp_path / "engine.lock").stat().st_mtime_ns < signed:  # its next sign of life
            assert time.monotonic() < deadline
        assert "another engine works" in start(tmp_path, f"unix:{tmp_path}/other.sock").stderr
        assert list(Client(connection).runs()) == []


def test_no_file_is_deleted_for_a_socket(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.tex"
    precious.write_text("years of work")
    refused = start(tmp_path / "home", f"unix:{precious}")
    assert refused.returncode == 3
    assert "that is no socket" in refused.stderr
    assert precious.read_text() == "years of work"


def test_a_socket_in_use_is_not_taken_and_a_stale_one_is(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        refused = start(tmp_path / "home", f"unix:{path}")
    assert refused.returncode == 3
    assert "another process listens there" in refused.stderr
    command = [sys.executable, "-m", "neunets_engine", "--home", str(tmp_path / "home"), "--listen", f"unix:{path}"]
    with subprocess.Popen(command) as process, grpc.insecure_channel(f"unix:{path}", CHANNEL_OPTIONS) as channel:
        request = health_pb2.HealthCheckRequest()
        health_pb2_grpc.HealthStub(channel).Check(request, timeout=60, wait_for_ready=True)
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        process.terminate()


def test_a_socket_where_others_may_replace_it_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    for folder, sentence in ((shared, "every user may replace"), (tmp_path / "none", "No such file")):
        refused = start(tmp_path / "home", f"unix:{folder}/s.sock")
        assert refused.returncode == 3
        assert sentence in refused.stderr


def test_a_store_that_is_no_folder_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    refused = start(tmp_path, f"unix:{tmp_path}/s.sock")
    assert refused.returncode == 3
    assert "cannot be opened" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_port_in_use_is_refused_even_if_its_owner_would_share_it(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        refused = start(tmp_path / "home", f"127.0.0.1:{other.getsockname()[1]}")
    assert refused.returncode == 3
    assert "is it taken?" in refused.stderr


def test_a_home_is_closed_to_other_users(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    refused = start(home, f"unix:{home}")
    assert refused.returncode == 3
    open_to_others = [path for path in [home, *home.rglob("*")] if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    assert open_to_others == []


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda path: path.write_text(""), "it is no folder"),
    (lambda path: (path.mkdir(), path.chmod(0o755), (path / "letter").write_text("")), "holds other files"),
])  # fmt: skip
def test_a_home_that_cannot_be_one_is_refused_in_a_sentence(tmp_path: Path, make, sentence: str) -> None:
    make(tmp_path / "home")
    refused = start(tmp_path / "home", f"unix:{tmp_path}/s.sock")
    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_read_only_home_is_refused_in_a_sentence(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "ro,mode=700", "tmpfs", str(home)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system can be mounted by root alone")
    try:
        refused = start(home, f"unix:{tmp_path}/s.sock")
    finally:
        subprocess.run(["umount", str(home)], check=True)
    assert refused.returncode == 2
    assert "cannot be written" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_backup_of_a_home_at_work_is_a_home(tmp_path: Path) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy"
    with engine(home) as connection:
        client = Client(connection)
        dataset = client.register(str(small_images(tmp_path / "small.npz"))).name
        ended = follow(client, client.create(dataset, synthesizer="good", trials=1, seed=3).name).run
        files = [path.read_bytes() for path in client.download(ended.model, tmp_path / "model")]
        going_on = client.create(dataset, synthesizer="good", trials=1000, seed=4).name
        command = [sys.executable, "-m", "neunets_client", "backup", str(copy), "--home", str(home)]
        copied = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (copied.returncode, copied.stderr) == (0, "")
        client.stop(going_on, service_pb2.StopRunRequest.MODE_ABORT)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700
    with engine(copy, "--take-up", "none") as connection:
        client = Client(connection)
        assert {run.name for run in client.runs()} == {ended.name, going_on}
        assert [path.read_bytes() for path in client.download(ended.model, tmp_path / "again")] == files
        assert client.get(going_on).end_time.seconds == 0
