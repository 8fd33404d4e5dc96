"""`service.v1.Synthesizers`: which plugins there are, and how they are."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import grpc

from neunets.errors import PluginFault
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets_engine.plugins import Plugin
from neunets_engine.supervisor import Supervisor

__all__ = ["SynthesizersService"]

Context = grpc.aio.ServicerContext[Any, Any]


class SynthesizersService(service_pb2_grpc.SynthesizersServicer):
    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def List(
        self, request: service_pb2.ListSynthesizersRequest, context: Context
    ) -> service_pb2.ListSynthesizersResponse:
        infos = [_info(self._supervisor.plugin(name)) for name in self._supervisor.plugin_names()]
        return service_pb2.ListSynthesizersResponse(synthesizers=infos)

    async def Get(self, request: service_pb2.GetSynthesizerRequest, context: Context) -> service_pb2.SynthesizerInfo:
        plugin = self._supervisor.plugin(request.name)
        with suppress(PluginFault):  # then its state is the answer
            await plugin.channel()
        return _info(plugin)


def _info(plugin: Plugin) -> service_pb2.SynthesizerInfo:
    info = service_pb2.SynthesizerInfo(
        name=plugin.manifest.name, state=plugin.state.value, command=plugin.manifest.command, faults=plugin.faults
    )
    if plugin.description is not None:
        info.description.CopyFrom(plugin.description)
    return info
