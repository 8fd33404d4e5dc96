"""`service.v1.Datasets`: reading a source once, into arrays that every trainer loads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

import grpc

from neunets.errors import InvalidRequest, UnsupportedProblem
from neunets.preprocessing import Fit
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets_engine.datasets import Request
from neunets_engine.datasets.columns import Chosen
from neunets_engine.datasets.integrity import Checked
from neunets_engine.datasets.process import Reader
from neunets_engine.datasets.progress import Latest
from neunets_engine.datasets.sizes import Size
from neunets_engine.datasets.wire import FITS
from neunets_engine.store import Store

__all__ = ["DatasetsService", "wanted"]

Context = grpc.aio.ServicerContext[Any, Any]
MOST_IMAGES: Final = 32
USUAL_IMAGES: Final = 8


class DatasetsService(service_pb2_grpc.DatasetsServicer):
    """What users' files hold is read in processes of their own: `reader`."""

    def __init__(self, store: Store, reader: Reader, checked: Checked) -> None:
        self._store = store
        self._reader = reader
        self._checked = checked

    async def Register(
        self, request: service_pb2.RegisterDatasetRequest, context: Context
    ) -> AsyncIterator[service_pb2.RegisterDatasetResponse]:
        if not request.source:
            raise InvalidRequest("source", "name a folder, a file, or a built-in data set such as digits")
        latest = Latest()
        reading = asyncio.create_task(self._reader.register(wanted(request), latest.tell))
        try:
            async for now in latest.until(reading):
                progress = service_pb2.ReadProgress(stage=now.stage, done=now.done, total=now.total)
                yield service_pb2.RegisterDatasetResponse(progress=progress)
            dataset = await reading
        finally:
            reading.cancel()  # where nobody waits any more
            await asyncio.wait([reading])
        yield service_pb2.RegisterDatasetResponse(dataset=await self._store.put_dataset(dataset))

    async def Describe(self, request: service_pb2.DescribeDatasetRequest, context: Context) -> service_pb2.Dataset:
        return self._store.dataset(request.name)

    async def Preview(
        self, request: service_pb2.PreviewDatasetRequest, context: Context
    ) -> service_pb2.PreviewDatasetResponse:
        dataset = self._store.dataset(request.name)
        if request.images_a_class > MOST_IMAGES:
            raise InvalidRequest("images_a_class", f"{request.images_a_class} is more than {MOST_IMAGES}")
        if len(dataset.input.shape) != 3:
            raise UnsupportedProblem(f"{dataset.source} holds sequences: there are contact sheets of images alone")
        count = request.images_a_class or USUAL_IMAGES
        await asyncio.to_thread(self._checked.check, dataset)
        png = await self._reader.sheet(dataset, count)
        return service_pb2.PreviewDatasetResponse(png=png)


def wanted(request: service_pb2.RegisterDatasetRequest) -> Request:
    """What is not set is left to its default."""
    found = Request(request.source, seed=request.seed)
    if request.HasField("valid_fraction"):
        found = replace(found, valid_fraction=request.valid_fraction)
    if request.HasField("test_fraction"):
        found = replace(found, test_fraction=request.test_fraction)
    found = replace(found, columns=Chosen(request.image_column, request.label_column))
    return replace(found, size=_size(request), fit=_fit(request), skip_unreadable=request.skip_unreadable)


def _size(request: service_pb2.RegisterDatasetRequest) -> Size | None:
    given = [name for name in ("image_size", "image_height", "image_width") if request.HasField(name)]
    if given == ["image_size"]:
        return Size(request.image_size, request.image_size)
    if given and given != ["image_height", "image_width"]:
        raise InvalidRequest(given[-1], "give image_height and image_width, or image_size alone")
    return Size(request.image_height, request.image_width) if given else None


def _fit(request: service_pb2.RegisterDatasetRequest) -> Fit:
    if not request.image_fit:
        return Fit.STRETCH
    if request.image_fit not in FITS:
        raise InvalidRequest("image_fit", f"{request.image_fit} is unknown: images are stretched, padded or cropped")
    return FITS[request.image_fit]
