"""`Problem.past` over real sockets: asked once a session, and empty where nobody can tell."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from conform.lineages import PROBLEM, made
from fakes import Scripted
from neunets.conform.host import Host
from neunets.synthesizer import Experience
from neunets.synthesizer.place import Launched
from neunets.synthesizer.serve import listen
from neunets.synthesizer.servicer import SynthesizerServicer
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.synthesizer.v1 import synthesizer_pb2_grpc

DEADLINE_S = 10.0


class Opened:
    """A plugin's process without the process, and the sessions that were opened with it."""

    def __init__(self, stub: synthesizer_pb2_grpc.SynthesizerStub, synthesizer: Scripted, place: Launched) -> None:
        self._stub, self._synthesizer, self.place = stub, synthesizer, place

    def past(self, run: str = "a", validate_only: bool = False) -> tuple[Experience, ...]:
        """Of a new session."""
        request = pb.OpenRequest(call=pb.Call(run=run, epoch=1), problem=PROBLEM, validate_only=validate_only)
        self._stub.Open(request, timeout=DEADLINE_S)
        return tuple(self._synthesizer.opened[-1].problem.past())

    def past_again(self) -> tuple[Experience, ...]:
        """Of the last session."""
        return tuple(self._synthesizer.opened[-1].problem.past())


@contextmanager
def plugin(folder: Path, has_host: bool = True) -> Iterator[Opened]:
    environment = {"NEUNETS_HOST": f"unix:{folder / 'host.sock'}", "NEUNETS_LAUNCH_TOKEN": "t"}
    place, synthesizer = Launched({**environment, "NEUNETS_SOCKET_DIR": str(folder)}), Scripted()
    server, endpoint = listen(SynthesizerServicer(synthesizer, place.channel if has_host else None), place)
    with grpc.insecure_channel(endpoint) as channel:
        yield Opened(synthesizer_pb2_grpc.SynthesizerStub(channel), synthesizer, place)
    server.stop(None).wait()
    place.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path / "host.sock") as serving:
        serving.runs["a"] = made()
        yield serving


def test_what_the_host_tells_is_kept_for_the_session(host: Host, tmp_path: Path) -> None:
    with plugin(tmp_path) as opened:
        first = opened.past()
        assert [len(experience.trials) for experience in first] == [3, 3]
        assert opened.past() == first
        host.stop()
        assert opened.past_again() == first


def test_a_host_that_was_away_is_asked_as_soon_as_it_is_back(host: Host, tmp_path: Path) -> None:
    """Whatever else of the process waits for it."""
    host.stop()
    with plugin(tmp_path) as opened, opened.place.channel() as waiting:
        with pytest.raises(grpc.RpcError):
            synthesizer_pb2_grpc.PluginHostStub(waiting).Renew(pb.RenewRequest(), timeout=DEADLINE_S)
        host.start()
        assert len(opened.past()) == 2


def test_a_check_asks_for_nothing(host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with plugin(tmp_path) as opened:
        assert opened.past(validate_only=True) == ()
    assert not caplog.records


def test_a_host_that_refuses_leaves_nothing_but_a_warning(
    host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with plugin(tmp_path) as opened:
        assert opened.past("b") == opened.past_again() == ()
    (record,) = caplog.records
    assert (record.levelname, "'b'" in record.getMessage()) == ("WARNING", True)


def test_an_older_host_leaves_nothing_but_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    older = grpc.server(ThreadPoolExecutor(1))  # it does not know the method
    older.add_insecure_port(f"unix:{tmp_path / 'host.sock'}")
    older.start()
    with plugin(tmp_path) as opened:
        assert opened.past() == ()
    older.stop(None).wait()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_host_that_is_gone_leaves_nothing_but_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with plugin(tmp_path) as opened:
        assert opened.past() == opened.past_again() == ()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_process_without_a_host_knows_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with plugin(tmp_path, has_host=False) as opened:
        assert opened.past() == ()
    assert not caplog.records
