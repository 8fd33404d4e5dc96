"""A synthesizer's process: its start, its socket folder, and its end, which two may bring about at once."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from neunets.errors import NotReady, PluginUnavailable
from neunets.graph.v1 import graph_pb2
from neunets_engine.admission import Rules
from neunets_engine.experiments import query
from neunets_engine.plugins import ChildProcess, Manifest, Plugin, PluginHost, process
from neunets_engine.store import Store


def no_rules(run: str) -> Rules:
    raise AssertionError(run)


def no_graph(run: str, candidate: str) -> graph_pb2.Graph:
    raise AssertionError(run, candidate)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[PluginHost]:
    store = Store(tmp_path / "store")
    yield PluginHost(no_rules, no_graph, partial(query, store))
    store.close()


async def test_a_plugin_that_never_registers_is_told_how(
    host: PluginHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "START_DEADLINE_S", 0.3)
    manifest = Manifest("mute", ("sh", "-c", "echo here; exec sleep 600"))
    child = ChildProcess(manifest, host, tmp_path / "plugins" / "mute", "unused", lambda text: None)
    with pytest.raises(PluginUnavailable, match=r"mute has not registered within 0.3 s: .*NEUNETS_LAUNCH_TOKEN.*here"):
        await child.connect()


@pytest.mark.parametrize("command", [("/no/such/program",), ("sh", "-c", "echo broken >&2; exit 4")])
async def test_a_plugin_that_ends_at_once_says_how(host: PluginHost, tmp_path: Path, command: tuple[str, ...]) -> None:
    child = ChildProcess(Manifest("brief", command), host, tmp_path / "plugins" / "brief", "unused", lambda text: None)
    why = "No such file or directory" if len(command) == 1 else r"ended with exit code 4; its last output: broken"
    with pytest.raises(PluginUnavailable, match=rf"brief .*{why}"):
        await child.connect()


@pytest.mark.parametrize("length", [10, 200])
async def test_a_socket_folder_is_private_short_and_temporary(host: PluginHost, tmp_path: Path, length: int) -> None:
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    manifest = Manifest("mute", ("sh", "-c", "echo $NEUNETS_SOCKET_DIR; exec sleep 600"))
    child = ChildProcess(manifest, host, tmp_path / ("x" * length) / "mute", "unused", told.set_result)
    connecting = asyncio.create_task(child.connect())
    folder = Path(await told)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(f"{folder}/1234567.sock") <= 107
    await child.cut()
    assert not folder.exists()
    with pytest.raises(PluginUnavailable):
        await connecting


async def test_who_gives_it_up_at_the_same_time_does_so_once(host: PluginHost, tmp_path: Path) -> None:
    speaks = asyncio.Event()
    manifest = Manifest("mute", ("sh", "-c", "echo here; exec sleep 600"))
    child = ChildProcess(manifest, host, tmp_path / "plugins" / "mute", "unused", lambda text: speaks.set())
    connecting = asyncio.create_task(child.connect())
    await speaks.wait()
    await asyncio.gather(child.cut(), child.cut())
    assert not child.is_up()
    with pytest.raises(PluginUnavailable, match="mute was ended before it had registered; its last output: here"):
        await connecting


async def test_a_plugin_is_stopped_while_it_is_started(host: PluginHost, tmp_path: Path) -> None:
    speaks = asyncio.Event()
    manifest = Manifest("mute", ("sh", "-c", "echo here; exec sleep 600"))
    child = ChildProcess(manifest, host, tmp_path / "plugins" / "mute", "unused", lambda text: speaks.set())
    plugin = Plugin("mute", child)
    starting = asyncio.create_task(plugin.channel())
    await speaks.wait()
    await plugin.stop()
    with pytest.raises(NotReady, match="mute is stopped"):
        await starting
    assert not child.is_up()
