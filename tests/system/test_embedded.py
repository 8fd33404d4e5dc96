"""An embedded engine serves all commands on its home: it starts once, and ends with the last of them."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from engines import follow, processes
from fakes import small_images
from neunets.service.v1 import service_pb2
from neunets_client.client import Client
from neunets_client.connection import Connection


def started(connection: Connection) -> psutil.Process:
    connection.ensure()
    assert connection.engine_pid is not None
    return psutil.Process(connection.engine_pid)


def test_who_has_started_the_engine_does_not_matter(tmp_path: Path) -> None:
    first = Connection(None, tmp_path)
    embedded = started(first)
    with Connection(None, tmp_path) as second:
        assert second.engine_pid is None
        first.close()
        assert list(Client(second).runs()) == []
    embedded.wait(30)
    with Connection(None, tmp_path) as third:  # which waits for the end of the one before
        assert list(Client(third).runs()) == []


def test_commands_that_start_at_once_share_one_engine(tmp_path: Path) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        connections = list(pool.map(stack.enter_context, [Connection(None, tmp_path / "home") for _ in range(4)]))
        assert sum(connection.engine_pid is not None for connection in connections) == 1
        assert len(processes(tmp_path / "home")) == 1


@pytest.mark.slow
def test_runs_of_two_commands_go_on_when_their_engine_is_killed(tmp_path: Path) -> None:
    images = small_images(tmp_path / "small.npz")

    def finish(connection: Connection) -> service_pb2.Run:
        client = Client(connection)
        run = client.create(client.register(str(images)).name, trials=3, max_params=2000)
        connection.take_up = run.name.removeprefix("runs/")
        for response in client.watch(run.name):
            if response.event.search.HasField("started") and connection.engine_pid == first.pid and first.is_running():
                os.kill(first.pid, signal.SIGKILL)
                first.wait(30)
        return follow(client, run.name).run

    with Connection(None, tmp_path / "home") as one, Connection(None, tmp_path / "home") as two:
        first = started(one)
        with ThreadPoolExecutor(2) as pool:
            runs = list(pool.map(finish, (one, two)))
    assert [run.state for run in runs] == [service_pb2.RUN_STATE_COMPLETED] * 2
