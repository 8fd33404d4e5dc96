"""What a client may do to runs and models, on a real engine."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engines import History, follow
from fakes import network
from neunets.errors import IllegalTransition, InvalidRequest, NotFound, Outdated
from neunets.service.v1 import service_pb2
from neunets.synthesizer import Recipe
from neunets.wire import input_from_proto
from neunets_client import AsyncClient, Client, Connection


@pytest.fixture
async def async_client(connection: Connection) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(connection) as opened:
        yield opened


@pytest.fixture(scope="session")
def done(client: Client, dataset: service_pb2.Dataset) -> History:
    """A run that has come to its model."""
    return follow(client, client.create(dataset.name, synthesizer="good", trials=2, seed=11).name)


def searching(client: Client, dataset: service_pb2.Dataset) -> service_pb2.Run:
    """A run whose search goes on until somebody ends it: its synthesizer waits."""
    run = client.create(dataset.name, synthesizer="waiting", trials=9)
    return next(
        response.run for response in client.watch(run.name) if response.run.state == service_pb2.RUN_STATE_PROPOSING
    )


def test_a_budget_is_changed_once(client: Client, dataset: service_pb2.Dataset) -> None:
    run = searching(client, dataset)
    changed = client.update_budget(run.name, trials=12, etag=run.etag)
    assert changed.spec.trials == 12
    with pytest.raises(Outdated):
        client.update_budget(run.name, trials=13, etag=run.etag)
    client.stop(run.name, service_pb2.StopRunRequest.MODE_ABORT)
    assert client.wait(run.name).state == service_pb2.RUN_STATE_STOPPED


def test_a_network_of_the_users_own_is_trained(client: Client, dataset: service_pb2.Dataset) -> None:
    run = searching(client, dataset)
    graph = network(input_from_proto(dataset.input), len(dataset.classes), 40)
    model = client.inject(run.name, graph, Recipe(epochs=2.0, learning_rate=0.02), "mine")
    measured = list(client.watch_metrics(model))  # until it has ended
    assert measured == list(client.metrics(model))
    client.stop(run.name)
    assert client.wait(run.name).model
    assert [found.name for found in client.models(run.name, "injected = true AND final = false")] == [model]
    assert client.model(model).rationale == "mine"
    client.delete(run.name)
    with pytest.raises(NotFound):
        client.get(run.name)


def test_runs_and_models_are_chosen_and_ordered(client: Client, done: History) -> None:
    chosen = [run.name for run in client.runs("state = COMPLETED AND synthesizer = good")]
    assert done.run.name in chosen
    assert [run.name for run in client.runs("state = COMPLETED AND synthesizer = good", "create_time")] == chosen[::-1]
    models = list(client.models(done.run.name, "final = false", "metric desc"))
    accuracies = [model.result.metrics["valid_accuracy"] for model in models]
    assert accuracies == sorted(accuracies, reverse=True)
    with pytest.raises(InvalidRequest, match="colour"):
        list(client.runs("colour = red"))


def test_models_are_compared(client: Client, done: History) -> None:
    names = [model.name for model in client.models(done.run.name, "final = false")]
    found = client.compare(names)
    assert [(change.node, change.field) for change in found.diffs[0].changed] == [("hidden", "units")]
    rows = {row.name: row.values for row in found.figures}
    assert not any(map(math.isnan, rows["valid_accuracy"]))


def test_another_network_is_picked(client: Client, done: History, tmp_path: Path) -> None:
    worst = list(client.models(done.run.name, "final = false", "metric desc"))[-1]
    picked = client.pick(worst.name)
    assert (picked.params, picked.final) == (worst.params, True)
    assert picked.result.metrics["valid_accuracy"] == pytest.approx(worst.result.metrics["valid_accuracy"])
    assert client.get(done.run.name).model == picked.name
    assert tmp_path / "model.onnx" in client.download(picked.name, tmp_path)
    assert client.pick(worst.name) == picked
    assert client.pick(done.run.model).name == done.run.model == client.get(done.run.name).model


async def test_a_network_is_picked_once(async_client: AsyncClient, client: Client, done: History) -> None:
    best = next(iter(client.models(done.run.name, "final = false", "metric desc")))
    picked = await asyncio.gather(*(async_client.pick(best.name) for _ in range(3)))
    assert len({model.name for model in picked}) == 1


def test_a_run_that_goes_on_has_nothing_to_pick(client: Client, dataset: service_pb2.Dataset) -> None:
    run = searching(client, dataset)
    graph = network(input_from_proto(dataset.input), len(dataset.classes), 21)
    model = client.inject(run.name, graph, Recipe(epochs=1.0))
    with pytest.raises(IllegalTransition, match="pick once it has ended"):
        client.pick(model)
    client.stop(run.name, service_pb2.StopRunRequest.MODE_ABORT)
    follow(client, run.name)


async def test_metrics_are_watched_while_a_trial_trains(
    async_client: AsyncClient, client: Client, dataset: service_pb2.Dataset
) -> None:
    run = searching(client, dataset)
    graph = network(input_from_proto(dataset.input), len(dataset.classes), 20)
    model = await async_client.inject(run.name, graph, Recipe(epochs=3.0))
    epochs = [measured.epoch async for measured in async_client.watch_metrics(model)]
    assert epochs == [measured.epoch for measured in await async_client.metrics(model)]
    rest = [measured.epoch async for measured in async_client.watch_metrics(model, after=1)]
    assert rest == epochs[1:]
    await async_client.stop(run.name, service_pb2.StopRunRequest.MODE_ABORT)
    await async_client.wait(run.name)
    await async_client.delete(run.name)


def test_a_drained_synthesizer_takes_runs_again(client: Client) -> None:
    assert client.drain("patient").state == "DRAINING"
    assert client.drain("patient", resume=True).state != "DRAINING"
