"""A plugin that somebody else has started, as the engine meets it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from neunets.synthesizer.v1 import synthesizer_pb2, synthesizer_pb2_grpc
from neunets_engine.plugins import ListedProcess, Manifest, Plugin, PluginState


class Slow(synthesizer_pb2_grpc.SynthesizerServicer):
    """Is ready when it has been asked three times."""

    asked = 0

    async def Describe(self, request: object, context: object) -> synthesizer_pb2.DescribeResponse:
        self.asked += 1
        return synthesizer_pb2.DescribeResponse(name="slow", ready=self.asked > 2, not_ready_reason="it reads tables")


@asynccontextmanager
async def served(servicer: Slow, socket: Path) -> AsyncIterator[Plugin]:
    server = grpc.aio.server()
    synthesizer_pb2_grpc.add_SynthesizerServicer_to_server(servicer, server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    plugin = Plugin("slow", ListedProcess(Manifest("slow", endpoint=f"unix:{socket}")))
    try:
        yield plugin
    finally:
        await plugin.stop()
        await server.stop(None)


async def test_a_plugin_that_needs_time_is_waited_for(tmp_path: Path) -> None:
    slow = Slow()
    async with served(slow, tmp_path / "s") as plugin:
        assert (plugin.state, plugin.link.endpoint()) == (PluginState.REMOTE, f"unix:{tmp_path}/s")
        await plugin.channel()
        assert slow.asked == 3
        assert plugin.description is not None
        assert plugin.description.ready
        await plugin.channel()
        assert slow.asked == 3
        assert (plugin.state, plugin.faults) == (PluginState.READY, 0)
