"""`Client` for asyncio: the same methods, which are awaited, or iterated over with `async for`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

import grpc
import grpc.aio

from neunets.errors import NeunetsError, PluginUnavailable
from neunets.graph import Graph
from neunets.graph.v1 import graph_pb2
from neunets.service.v1 import service_pb2
from neunets.sockets import channel_options
from neunets.status import rpc_error
from neunets.synthesizer import Recipe
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_client import calls, feeds
from neunets_client.attempts import Attempts, Patience
from neunets_client.calls import Call, Page, RunOptions
from neunets_client.connection import CHANNEL_OPTIONS, Connection
from neunets_client.family import Relative, elder_of, relatives, winner_of
from neunets_client.feeds import Feed
from neunets_client.frames import trials_frame
from neunets_client.saving import saving

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AsyncClient", "connect_async"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class AsyncClient:
    """Owns a channel for the time of an `async with`, to the engine of `connection`. What methods do: see `Client`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rng = random.Random()
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._connection.ensure)
        target = self._connection.target
        self._channel = grpc.aio.insecure_channel(target, options=channel_options(target, *CHANNEL_OPTIONS))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def register(
        self,
        source: str,
        seed: int = 0,
        *,
        tell: Callable[[service_pb2.ReadProgress], None] | None = None,
        **options: Unpack[calls.ReadingOptions],
    ) -> service_pb2.Dataset:
        request = calls.reading(source, seed, options)
        dataset = service_pb2.Dataset()
        async for response in self._follow(feeds.Reading(request)):
            if response.HasField("dataset"):
                dataset = response.dataset
            elif tell is not None:
                tell(response.progress)
        return dataset

    async def dataset(self, name: str) -> service_pb2.Dataset:
        return await self._ask(calls.dataset(name))

    async def preview(self, dataset: str, images_a_class: int = 0) -> bytes:
        return await self._ask(calls.preview(dataset, images_a_class))

    async def create(self, dataset: str, **options: Unpack[RunOptions]) -> service_pb2.Run:
        return await self._ask(calls.create(dataset, options))

    async def get(self, run: str) -> service_pb2.Run:
        return await self._ask(calls.get(run))

    def runs(self, filter: str = "", order_by: str = "") -> AsyncIterator[service_pb2.Run]:  # noqa: A002 - as `Client`
        return self._pages(lambda token: calls.runs(filter, order_by, token))

    def watch(
        self, run: str, after_seq: int = 0, most: int = 0, brief: bool = False
    ) -> AsyncIterator[service_pb2.WatchRunResponse]:
        return self._follow(feeds.Watch(run, after_seq, most, brief))

    async def wait(self, run: str) -> service_pb2.Run:
        async for _ in self.watch(run, (await self.get(run)).seq):
            pass
        return await self.get(run)

    async def stop(
        self,
        run: str,
        mode: service_pb2.StopRunRequest.Mode.ValueType = service_pb2.StopRunRequest.MODE_FINISH,
    ) -> service_pb2.Run:
        return await self._ask(calls.stop(run, mode))

    async def resume(self, run: str) -> service_pb2.Run:
        return await self._ask(calls.resume(run))

    async def update_budget(
        self, run: str, *, wall_s: float | None = None, trials: int | None = None, etag: str = ""
    ) -> service_pb2.Run:
        return await self._ask(calls.update_budget(run, wall_s, trials, etag))

    async def inject(
        self,
        run: str,
        graph: Graph | graph_pb2.Graph,
        recipe: Recipe | synthesizer_pb2.Recipe | None = None,
        rationale: str = "",
    ) -> str:
        return await self._ask(calls.inject(run, graph, recipe or Recipe(), rationale))

    async def delete(self, run: str, etag: str = "") -> None:
        await self._ask(calls.delete(run, etag))

    def models(self, run: str, filter: str = "", order_by: str = "") -> AsyncIterator[service_pb2.Model]:  # noqa: A002
        return self._pages(lambda token: calls.models(run, filter, order_by, token))

    async def model(self, name: str) -> service_pb2.Model:
        return await self._ask(calls.model(name))

    async def trials(self, run: str) -> pd.DataFrame:
        return trials_frame([model async for model in self.models(run)])

    async def metrics(self, model: str) -> Sequence[synthesizer_pb2.Measured]:
        return await self._ask(calls.metrics(model))

    def watch_metrics(self, model: str, after: int = 0) -> AsyncIterator[synthesizer_pb2.Measured]:
        return self._follow(feeds.Metrics(model, after))

    async def compare(self, models: Sequence[str]) -> service_pb2.CompareModelsResponse:
        return await self._ask(calls.compare(models))

    async def lineage(self, run: str) -> Sequence[Relative]:
        line = [await self.model(winner_of(await self.get(run)))]
        while elder := elder_of(line[-1]):
            line.append(await self.model(elder))
        return relatives(reversed(line))

    async def pick(self, model: str) -> service_pb2.Model:
        return await self._ask(calls.pick(model))

    async def export(
        self,
        model: str,
        formats: Sequence[service_pb2.ExportModelRequest.Format.ValueType],
        max_drop: float | None = None,
    ) -> Sequence[service_pb2.Variant]:
        return (await self._ask(calls.export(model, formats, max_drop))).variants

    async def download(self, model: str, folder: str | Path) -> Sequence[Path]:
        exported = (await self._ask(calls.export(model, (), None))).model
        written = []
        for artifact in exported.artifacts:
            with saving(Path(folder), artifact) as file:
                async for data in self._follow(feeds.Download(model, artifact.file)):
                    file.write(data)
            written.append(file.path)
        return written

    async def synthesizers(self) -> Sequence[service_pb2.SynthesizerInfo]:
        return [await self._ask(calls.synthesizer(name)) for name in await self._ask(calls.synthesizer_names())]

    async def check(
        self,
        synthesizer: str,
        level: str = "core",
        *,
        tell: Callable[[service_pb2.CheckOutcome], None] | None = None,
    ) -> service_pb2.Conformance:
        result = service_pb2.Conformance()
        async for response in self._follow(feeds.Checking(synthesizer, level)):
            if response.HasField("result"):
                result = response.result
            elif tell is not None:
                tell(response.check)
        return result

    async def drain(self, synthesizer: str, *, resume: bool = False) -> service_pb2.SynthesizerInfo:
        return await self._ask(calls.drain(synthesizer, resume))

    async def enroll(self, synthesizer: str, life_s: float | None = None) -> service_pb2.EnrollSynthesizerResponse:
        return await self._ask(calls.enroll(synthesizer, life_s))

    async def _ask(self, call: Call[Result]) -> Result:
        attempts = Attempts(call.deadline_s, Patience(), self._rng)
        while True:
            try:
                return call.result(await call.method(self._open())(call.request, timeout=attempts.deadline_s))
            except grpc.RpcError as raw:
                error = rpc_error(raw)
                if call.is_done_by(error, attempts.are_repeated):
                    return call.result(None)
                await self._again(attempts, error, raw)

    async def _pages(self, page: Callable[[str], Call[Page[Item]]]) -> AsyncIterator[Item]:
        token = ""
        while True:
            found = await self._ask(page(token))
            for item in found.items:
                yield item
            token = found.next_token
            if not token:
                return

    async def _follow(self, feed: Feed[Item]) -> AsyncIterator[Item]:
        attempts = Attempts(feed.deadline_s, feed.patience, self._rng)
        while True:
            stream = feed.method(self._open())(feed.request(), timeout=attempts.deadline_s)
            try:
                async for response in stream:
                    if feed.goes_on:
                        attempts.succeeded()
                    item = feed.take(response)
                    if item is not None:
                        yield item
            except grpc.RpcError as raw:
                await self._again(attempts, rpc_error(raw), raw)
                continue
            finally:
                stream.cancel()
            ending = feed.ending()
            if ending is None or await self._ask(ending):
                return
            await self._again(attempts, PluginUnavailable("it ended a stream that is not over"), None)

    async def _again(self, attempts: Attempts, error: NeunetsError, raw: grpc.RpcError | None) -> None:
        """As `Client` does, without holding up what else goes on."""
        try:
            wait_s = attempts.failed(error, time.monotonic())
        except NeunetsError as last:
            raise last from raw
        await asyncio.sleep(wait_s)
        await asyncio.to_thread(self._connection.recover)

    def _open(self) -> grpc.aio.Channel:
        if self._channel is None:
            raise RuntimeError("an AsyncClient is used within `async with`")
        return self._channel


@asynccontextmanager
async def connect_async(server: str | None = None, home: str | Path | None = None) -> AsyncIterator[AsyncClient]:
    """As `connect`, for an `async with`."""
    connection = Connection(server, home)
    try:
        async with AsyncClient(connection) as client:
            yield client
    finally:
        await asyncio.to_thread(connection.close)
