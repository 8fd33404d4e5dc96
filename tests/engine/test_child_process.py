"""The end of a synthesizer's process, which its health and a late call may bring about at once."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from neunets.errors import PluginUnavailable
from neunets.graph.v1 import graph_pb2
from neunets_engine.admission import Rules
from neunets_engine.experiments import query
from neunets_engine.plugins import ChildProcess, Manifest, PluginHost
from neunets_engine.store import Store


def no_rules(run: str) -> Rules:
    raise AssertionError(run)


def no_graph(run: str, candidate: str) -> graph_pb2.Graph:
    raise AssertionError(run, candidate)


async def test_who_gives_it_up_at_the_same_time_does_so_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    host = PluginHost(no_rules, no_graph, partial(query, store))
    speaks = asyncio.Event()
    manifest = Manifest("mute", ("sh", "-c", "echo here; exec sleep 600"))
    child = ChildProcess(manifest, host, tmp_path / "plugins" / "mute", "unused", lambda text: speaks.set())
    connecting = asyncio.create_task(child.connect())
    await speaks.wait()
    await asyncio.gather(child.cut(), child.cut())
    assert not child.is_up()
    with pytest.raises(PluginUnavailable, match="mute was ended before it had registered; its last output: here"):
        await connecting
    store.close()
