"""An engine that reads data, and one whose kept data were damaged."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from PIL import Image

from engines import children, engine, processes
from neunets.errors import IllegalTransition, InvalidRequest, NeunetsError
from neunets.service.v1 import service_pb2
from neunets_client.client import Client
from sources import labels, pixels, write_folder

IDLE = ("--trainer", "/bin/sh -c 'exec sleep 1000'", "--devices", "cpu")


def test_damaged_data_are_refused_pause_runs_and_are_repaired(tmp_path: Path) -> None:
    home, source = tmp_path / "home", str(write_folder(tmp_path / "data", pixels(8, 4, 5), labels(8)))
    with engine(home, *IDLE) as connection:
        client = Client(connection)
        dataset = client.register(source)
        run = client.create(dataset.name, trials=1).name
        file = home / "datasets" / dataset.sha256 / "x_train.npy"
        file.write_bytes(file.read_bytes()[:-1] + b"\0")
        with pytest.raises(IllegalTransition, match=rf"{file} has another SHA-256.*; register {source} again"):
            client.create(dataset.name, trials=1)
        with pytest.raises(IllegalTransition, match="has another SHA-256"):
            client.preview(dataset.name)
        file.unlink()
    with engine(home, *IDLE) as connection:
        client = Client(connection)
        paused = client.get(run)
        assert paused.state == service_pb2.RUN_STATE_PAUSED
        assert f"{file} is missing; register {source} again" in paused.reason
        with pytest.raises(IllegalTransition, match="is missing"):
            client.resume(run)
        assert client.register(source).name == dataset.name
        assert client.resume(run).state != service_pb2.RUN_STATE_PAUSED


def test_a_reading_ends_with_the_call_and_with_the_engine(tmp_path: Path) -> None:
    one, home = tmp_path / "one.png", tmp_path / "home"
    Image.fromarray(pixels(300, 300, 3)).save(one)
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(5000):
            (tmp_path / "data" / name / f"{number}.png").symlink_to(one)
    began = threading.Event()

    def tell(progress: service_pb2.ReadProgress) -> None:
        if progress.done:
            began.set()

    def read(client: Client) -> None:
        with suppress(NeunetsError):  # of an engine that has ended
            client.register(str(tmp_path / "data"), tell=tell)

    def read_until_enough(progress: service_pb2.ReadProgress) -> None:
        if progress.done:
            seen.extend(reading(home))
            raise InvalidRequest("--budget", "enough")

    seen: list[psutil.Process] = []
    with engine(home, *IDLE) as connection:
        client = Client(connection)
        with pytest.raises(InvalidRequest, match="enough"):
            client.register(str(tmp_path / "data"), tell=read_until_enough)
        assert seen
        assert not psutil.wait_procs(seen, timeout=60)[1]
        thread = threading.Thread(target=read, args=(client,))
        thread.start()
        assert began.wait(60)
        seen = reading(home)
        (serving,) = processes(home)
        serving.terminate()
        assert not psutil.wait_procs([serving, *seen], timeout=60)[1]
    assert list((home / "datasets").iterdir()) == []
    connection.close()
    thread.join(30)


def reading(home: Path) -> list[psutil.Process]:
    """The process that reads, and all that it has started."""
    (process,) = children(home, "neunets_engine.datasets.child")
    return [process, *process.children(recursive=True)]
