"""`service.v1.Synthesizers`: which plugins there are, how they are, and whether they keep to the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc

from neunets.errors import PluginFault
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets_engine.plugins import Plugin, conform
from neunets_engine.store import Store
from neunets_engine.supervisor import Supervisor

__all__ = ["SynthesizersService"]

Context = grpc.aio.ServicerContext[Any, Any]


class SynthesizersService(service_pb2_grpc.SynthesizersServicer):
    def __init__(self, store: Store, supervisor: Supervisor) -> None:
        self._store = store
        self._supervisor = supervisor

    async def List(
        self, request: service_pb2.ListSynthesizersRequest, context: Context
    ) -> service_pb2.ListSynthesizersResponse:
        infos = [self._info(self._supervisor.plugin(name)) for name in self._supervisor.plugin_names()]
        return service_pb2.ListSynthesizersResponse(synthesizers=infos)

    async def Get(self, request: service_pb2.GetSynthesizerRequest, context: Context) -> service_pb2.SynthesizerInfo:
        plugin = self._supervisor.plugin(request.name)
        if not plugin.is_draining:
            with suppress(PluginFault):  # then its state is the answer
                await plugin.channel()
        return self._info(plugin)

    async def Check(
        self, request: service_pb2.CheckSynthesizerRequest, context: Context
    ) -> AsyncIterator[service_pb2.CheckSynthesizerResponse]:
        manifest = self._supervisor.manifest(request.name)
        async for response in conform(manifest, request.level or "core"):
            if response.HasField("result"):
                await self._store.synthesizers.put_conformance(request.name, response.result)
            yield response

    async def Drain(
        self, request: service_pb2.DrainSynthesizerRequest, context: Context
    ) -> service_pb2.SynthesizerInfo:
        return self._info(await self._supervisor.drain(request.name, not request.resume))

    async def Enroll(
        self, request: service_pb2.EnrollSynthesizerRequest, context: Context
    ) -> service_pb2.EnrollSynthesizerResponse:
        life_s = request.life_s if request.HasField("life_s") else None
        return await self._supervisor.enrol(request.name, life_s)

    def _info(self, plugin: Plugin) -> service_pb2.SynthesizerInfo:
        name = plugin.name
        info = service_pb2.SynthesizerInfo(
            name=name,
            state=plugin.shown_state().value,
            command=plugin.link.command,
            faults=plugin.faults,
            endpoint=plugin.link.endpoint(),
            open_runs=self._supervisor.open_runs(name),
        )
        for method, latencies in plugin.latencies.items():
            p50_ms, p99_ms = (1000 * latencies.quantile(fraction) for fraction in (0.5, 0.99))
            info.latencies.add(method=method, calls=latencies.calls, p50_ms=p50_ms, p99_ms=p99_ms)
        if plugin.description is not None:
            info.description.CopyFrom(plugin.description)
            found = self._store.synthesizers.conformance(name, plugin.description.version)
            if found is not None:
                info.conformance.CopyFrom(found)
        return info
