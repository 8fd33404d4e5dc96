"""`service.v1.Datasets`: reading a source once, into arrays that every trainer loads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from neunets.errors import InvalidRequest, UnsupportedProblem
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets_engine.datasets import register
from neunets_engine.store import Store

__all__ = ["DatasetsService"]

Context = grpc.aio.ServicerContext[Any, Any]


class DatasetsService(service_pb2_grpc.DatasetsServicer):
    def __init__(self, store: Store, root: Path) -> None:
        self._store = store
        self._root = root

    async def Register(
        self, request: service_pb2.RegisterDatasetRequest, context: Context
    ) -> AsyncIterator[service_pb2.RegisterDatasetResponse]:
        if not request.source:
            raise InvalidRequest("source", "name a folder, a file, or a built-in data set such as digits")
        dataset = await asyncio.to_thread(
            register,
            request.source,
            valid_fraction=request.valid_fraction if request.HasField("valid_fraction") else None,
            test_fraction=request.test_fraction if request.HasField("test_fraction") else None,
            seed=request.seed,
            root=self._root,
        )
        await self._store.put_dataset(dataset)
        yield service_pb2.RegisterDatasetResponse(dataset=dataset)

    async def Describe(self, request: service_pb2.DescribeDatasetRequest, context: Context) -> service_pb2.Dataset:
        return self._store.dataset(request.name)

    async def Preview(
        self, request: service_pb2.PreviewDatasetRequest, context: Context
    ) -> service_pb2.PreviewDatasetResponse:
        raise UnsupportedProblem("not yet")
