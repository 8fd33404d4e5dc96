"""A client whose engine or connection is lost goes on where it was, and takes no damaged file."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread
from typing import Self

import psutil
import pytest

from engines import engine
from exported import RUN, TRIAL, keep_exported
from fakes import small_images
from neunets.service.v1 import service_pb2
from neunets_client import AsyncClient, Client, Connection, DamagedFile
from neunets_engine.artifacts import Artifacts

MODEL = f"runs/{RUN}/models/{TRIAL}"
LARGE = "large.bin"
LARGE_BYTES, CUT_AT = 3 << 20, 1 << 20


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_images(tmp_path_factory.mktemp("data") / "small.npz")


def kill_engine(home: Path) -> None:
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] and str(home) in process.info["cmdline"]:
            process.send_signal(signal.SIGKILL)
            process.wait(30)


def has_ended(response: service_pb2.WatchRunResponse) -> bool:
    return response.event.search.WhichOneof("event") == "ended"


def check(seqs: list[int], run: service_pb2.Run) -> None:
    assert run.state == service_pb2.RUN_STATE_COMPLETED
    assert seqs == list(range(1, run.seq + 1))


def test_a_watch_goes_on_with_the_engine_that_follows(tmp_path: Path, images: Path) -> None:
    seqs, is_killed = [], False
    with ExitStack() as engines:
        client = Client(engines.enter_context(engine(tmp_path)))
        name = client.create(client.register(str(images)).name, synthesizer="good", trials=4).name
        for response in client.watch(name):
            seqs += [response.event.seq] if response.HasField("event") else []
            if has_ended(response) and not is_killed:
                is_killed = True
                kill_engine(tmp_path)
                engines.enter_context(engine(tmp_path))
        check(seqs, client.get(name))
    assert is_killed


async def test_an_async_watch_goes_on_with_the_engine_that_follows(tmp_path: Path, images: Path) -> None:
    seqs, is_killed = [], False
    with ExitStack() as engines:
        async with AsyncClient(engines.enter_context(engine(tmp_path))) as client:
            dataset = await client.register(str(images))
            name = (await client.create(dataset.name, synthesizer="good", trials=4)).name
            async for response in client.watch(name):
                seqs += [response.event.seq] if response.HasField("event") else []
                if has_ended(response) and not is_killed:
                    is_killed = True
                    await asyncio.to_thread(kill_engine, tmp_path)
                    await asyncio.to_thread(engines.enter_context, engine(tmp_path))
            check(seqs, await client.get(name))
    assert is_killed


@pytest.mark.slow
def test_an_embedded_engine_that_is_killed_is_started_again(tmp_path: Path, images: Path) -> None:
    seqs, first = [], None
    with Connection(None, tmp_path, take_up="all") as connection:
        client = Client(connection)
        name = client.create(client.register(str(images)).name, trials=2, max_params=2000).name
        for response in client.watch(name):
            seqs += [response.event.seq] if response.HasField("event") else []
            if has_ended(response) and first is None:
                first = connection.engine_pid
                assert first is not None
                os.kill(first, signal.SIGKILL)
        assert connection.engine_pid != first
        check(seqs, client.get(name))


class Cut:
    """A way to a unix socket over TCP, for the time of a `with`; its first connection is cut after `at` bytes."""

    def __init__(self, path: Path, at: int) -> None:
        self.relayed: list[int] = []  # bytes from the far side, by connection
        self._path, self._at = path, at
        self._sockets = [socket.create_server(("127.0.0.1", 0))]
        self._threads: list[Thread] = []
        self.target = "{}:{}".format(*self._sockets[0].getsockname())

    def __enter__(self) -> Self:
        self._begin(self._accept, self._sockets[0])
        return self

    def __exit__(self, *error: object) -> None:
        _shut(*self._sockets)
        for thread in self._threads:  # the first is the one that begins others
            thread.join(30)
        _shut(*self._sockets)
        for end in self._sockets:
            end.close()

    def _begin(self, run: Callable[..., None], *given: object) -> None:
        self._threads.append(Thread(target=run, args=given, daemon=True))
        self._threads[-1].start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.socket(socket.AF_UNIX)
                self._sockets += near, far
                far.connect(str(self._path))
                self.relayed.append(0)
                self._begin(self._relay, near, far, None)
                self._begin(self._relay, far, near, len(self.relayed) - 1)

    def _relay(self, source: socket.socket, sink: socket.socket, number: int | None) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
                if number is not None:
                    self.relayed[number] += len(data)
                if number == 0 and self.relayed[0] >= self._at:
                    break
        _shut(source, sink)


def _shut(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an engine that has a model with a large file."""
    folder = tmp_path_factory.mktemp("home")

    async def prepare() -> None:
        store = await keep_exported(folder)
        ref = Artifacts(str(folder / "artifacts")).put(secrets.token_bytes(LARGE_BYTES), "")
        await store.keep_model(RUN, TRIAL, [service_pb2.Artifact(file=LARGE, ref=ref)], {})
        store.close()

    asyncio.run(prepare())
    return folder


@pytest.fixture(scope="module")
def serving(home: Path) -> Iterator[Connection]:
    with Connection(None, home) as connection:
        yield connection


def kept(home: Path, client: Client) -> Path:
    """The large file in the engine's folder."""
    (ref,) = [artifact.ref for artifact in client.model(MODEL).artifacts if artifact.file == LARGE]
    return home / "artifacts" / ref.sha256[:2] / ref.sha256


def test_a_download_goes_on_after_a_lost_connection(home: Path, serving: Connection, tmp_path: Path) -> None:
    with Cut(home / "engine.sock", CUT_AT) as way, Connection(way.target) as connection:
        client = Client(connection)
        files = {path.name: path for path in client.download(MODEL, tmp_path)}
        expected = kept(home, client).read_bytes()
    assert files[LARGE].read_bytes() == expected
    assert way.relayed[0] >= CUT_AT
    assert sum(way.relayed) < LARGE_BYTES + CUT_AT  # what had come was not sent again
    assert not list(tmp_path.glob(".*"))


async def test_an_async_download_goes_on_after_a_lost_connection(
    home: Path, serving: Connection, tmp_path: Path
) -> None:
    with Cut(home / "engine.sock", CUT_AT) as way, Connection(way.target) as connection:
        async with AsyncClient(connection) as client:
            await client.download(MODEL, tmp_path)
    assert (tmp_path / LARGE).read_bytes() == kept(home, Client(serving)).read_bytes()
    assert sum(way.relayed) < LARGE_BYTES + CUT_AT


def test_a_file_that_is_damaged_on_the_disk_is_refused(home: Path, serving: Connection, tmp_path: Path) -> None:
    client = Client(serving)
    file = kept(home, client)
    whole = file.read_bytes()
    try:
        for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[: LARGE_BYTES // 2]):
            file.write_bytes(damaged)
            with pytest.raises(DamagedFile, match=LARGE):
                client.download(MODEL, tmp_path)
            assert not list(tmp_path.glob(f"*{LARGE}*"))
    finally:
        file.write_bytes(whole)
    assert client.download(MODEL, tmp_path)
