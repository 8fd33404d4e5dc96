"""How our processes dial others."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

import grpc
import pytest

from neunets.conform.check import NotStarted
from neunets.conform.launch import Dialled
from neunets.sockets import channel_options, is_open_to_others
from neunets.synthesizer.place import Launched

EMPTY_SETTINGS = b"\0\0\0\4\0\0\0\0\0"
HEADERS = 1
WITHIN_S = 30


@contextmanager
def first_headers(path: Path) -> Iterator[list[bytes]]:
    """Accept one HTTP/2 connection and reset it after its first HEADERS frame, which is kept as it came."""
    kept: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with closing(connection), connection.makefile("rb") as stream:
            connection.sendall(EMPTY_SETTINGS)
            stream.read(len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
            while not kept:
                head = stream.read(9)
                payload = stream.read(int.from_bytes(head[:3], "big"))
                if head[3] == HEADERS:
                    kept.append(payload)

    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(WITHIN_S)
        server = Thread(target=serve)
        server.start()
        yield kept
        server.join()


def test_the_kit_calls_a_plugin_on_a_unix_socket_localhost(tmp_path: Path) -> None:
    with first_headers(tmp_path / "s") as kept, pytest.raises(NotStarted):
        Dialled(f"unix:{tmp_path}/s")
    assert b"localhost" in kept[0]
    assert b"%2F" not in kept[0]


def test_a_synthesizer_calls_the_host_on_a_unix_socket_localhost(tmp_path: Path) -> None:
    environment = {"NEUNETS_HOST": f"unix:{tmp_path}/s", "NEUNETS_LAUNCH_TOKEN": "t", "NEUNETS_SOCKET_DIR": "/"}
    with (
        first_headers(tmp_path / "s") as kept,
        Launched(environment).channel() as channel,
        pytest.raises(grpc.RpcError),
    ):
        channel.unary_unary("/any/Call")(b"", timeout=WITHIN_S)
    assert b"localhost" in kept[0]
    assert b"%2F" not in kept[0]


@pytest.mark.parametrize("target", ["127.0.0.1:{}", "localhost:{}", "dns:///localhost:{}", "ipv4:127.0.0.1:{}"])
def test_a_proxy_is_not_asked_for_this_machine(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server = grpc.server(ThreadPoolExecutor(1))
    address = target.format(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    with grpc.insecure_channel(address, channel_options(address)) as channel, pytest.raises(grpc.RpcError) as answer:
        channel.unary_unary("/any/Call")(b"", timeout=WITHIN_S)
    server.stop(None).wait()
    assert answer.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "address", ["far.example:7390", "dns:///far.example:7390", "10.0.0.1:1", "[::]:1", "0.0.0.0:1"]
)
def test_what_others_reach_is_dialled_as_the_environment_says(address: str) -> None:
    assert is_open_to_others(address)
    assert channel_options(address, ("grpc.enable_retries", 0)) == (("grpc.enable_retries", 0),)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "[::1]:1", "ipv6:[::1]:1", "unix:/a", "unix:///a", "unix-abstract:a"]
)
def test_loopback_and_unix_sockets_are_this_machine(address: str) -> None:
    assert not is_open_to_others(address)
