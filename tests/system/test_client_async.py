"""The asyncio client on a real engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from neunets.errors import IllegalTransition, NotFound
from neunets.service.v1 import service_pb2
from neunets_client import AsyncClient, Connection


@pytest.fixture
async def async_client(connection: Connection) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(connection) as opened:
        yield opened


async def test_a_run_goes_from_data_to_a_model(async_client: AsyncClient, images: Path, tmp_path: Path) -> None:
    dataset = await async_client.register(str(images))
    assert (await async_client.dataset(dataset.name)).classes == dataset.classes
    run = await async_client.create(dataset.name, synthesizer="good", trials=2, seed=1)
    seqs = [response.event.seq async for response in async_client.watch(run.name) if response.HasField("event")]
    over = await async_client.wait(run.name)
    assert over.state == service_pb2.RUN_STATE_COMPLETED
    assert seqs == list(range(1, over.seq + 1))
    models = [model async for model in async_client.models(run.name)]
    assert over.model in [model.name for model in models if model.final]
    assert (await async_client.model(over.model)).figures["test_accuracy"] > 0.5
    assert await async_client.metrics(models[0].name)
    table = await async_client.trials(run.name)
    assert list(table.index) == [model.trial for model in models]
    files = await async_client.download(over.model, tmp_path)
    assert {"model.onnx", "card.md"} <= {path.name for path in files}
    assert run.name in [listed.name async for listed in async_client.runs()]


async def test_two_runs_are_watched_at_once(async_client: AsyncClient, dataset: service_pb2.Dataset) -> None:
    names = [(await async_client.create(dataset.name, synthesizer="good", trials=1, seed=seed)).name for seed in (1, 2)]
    over = await asyncio.gather(*map(async_client.wait, names))
    assert [run.name for run in over] == names
    assert {run.state for run in over} == {service_pb2.RUN_STATE_COMPLETED}


async def test_a_watch_that_is_left_leaves_the_run_alone(
    async_client: AsyncClient, dataset: service_pb2.Dataset
) -> None:
    name = (await async_client.create(dataset.name, synthesizer="good", trials=100_000)).name
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await async_client.wait(name)
    await async_client.stop(name, service_pb2.StopRunRequest.MODE_ABORT)
    assert (await async_client.wait(name)).state == service_pb2.RUN_STATE_STOPPED
    with pytest.raises(IllegalTransition, match="STOPPED"):
        await async_client.resume(name)
    with pytest.raises(NotFound):
        await async_client.get("runs/nobody")


async def test_synthesizers_are_described(async_client: AsyncClient) -> None:
    found = {info.name: info for info in await async_client.synthesizers()}
    assert found["random"].description.version
