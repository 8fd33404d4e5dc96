"""`grpc.health.v1.Health`: SERVING means that the store has just been read and written."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from neunets.errors import NeunetsError, NotFound
from neunets_engine.store import Store

__all__ = ["ReadinessService"]

Context = grpc.aio.ServicerContext[Any, Any]
Response: Any = health_pb2.HealthCheckResponse  # The package has no types.
PROBE_DEADLINE_S: Final = 5.0
WATCH_EVERY_S: Final = 5.0


class ReadinessService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """The health of all services of the engine is that of its store."""

    def __init__(self, store: Store, services: Sequence[str]) -> None:
        self._store = store
        self._services = frozenset(["", *services])
        self._ending = asyncio.Event()

    def end(self) -> None:
        """The engine is about to end: NOT_SERVING from now on."""
        self._ending.set()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> Any:
        if request.service not in self._services:
            raise NotFound(f"no service {request.service!r}")
        return Response(status=await self._status())

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> AsyncIterator[Any]:
        """Each change of the status, until the engine ends."""
        last = None
        while True:
            is_known = request.service in self._services
            status = await self._status() if is_known else Response.SERVICE_UNKNOWN
            if status != last:
                yield Response(status=status)
                last = status
            if self._ending.is_set():
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), WATCH_EVERY_S)

    async def _status(self) -> Any:
        if self._ending.is_set():
            return Response.NOT_SERVING
        try:
            await asyncio.wait_for(self._store.probe(), PROBE_DEADLINE_S)
        except (NeunetsError, TimeoutError):
            return Response.NOT_SERVING
        return Response.SERVING
