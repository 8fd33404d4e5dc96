"""A synthesizer that does not answer costs a run what is agreed, and never its end."""

from __future__ import annotations

import pytest

from engines import follow
from neunets.service.v1 import service_pb2
from neunets_client.client import Client

MODES = service_pb2.StopRunRequest


def proposing(client: Client, name: str) -> None:
    """Until the run has come to its first question for candidates."""
    for response in client.watch(name):
        if response.run.state == service_pb2.RUN_STATE_PROPOSING:
            return


@pytest.mark.parametrize("mode", [MODES.MODE_ABORT, MODES.MODE_FINISH])
def test_a_run_is_stopped_while_its_synthesizer_hangs(client: Client, dataset: service_pb2.Dataset, mode) -> None:
    name = client.create(dataset.name, synthesizer="deaf", trials=5).name
    proposing(client, name)
    client.stop(name, mode)
    assert follow(client, name).state == "STOPPED"
    client.delete(name)


def test_a_search_that_hangs_ends_with_what_it_found(client: Client, dataset: service_pb2.Dataset) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="hanging", wall_s=8.0).name)
    assert history.state == "COMPLETED"
    assert history.run.model
    lines = [event.log.text for event in history.events if event.WhichOneof("event") == "log"]
    assert "the search is over: hanging has not answered within the run's time" in lines
    assert history.run.reason == "hanging has not answered within the run's time"


def test_a_run_without_a_network_ends_with_its_time(client: Client, dataset: service_pb2.Dataset) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="deaf", wall_s=5.0).name)
    assert history.state == "FAILED"
    assert history.run.reason == "no network was trained: deaf has not answered within the run's time"


@pytest.mark.slow
def test_a_hung_synthesizer_is_started_again(client: Client, dataset: service_pb2.Dataset) -> None:
    """Its calls are answered IN_FLIGHT meanwhile, which is no fault by itself."""
    name = client.create(dataset.name, synthesizer="deaf", trials=5).name
    before = next(info.faults for info in client.synthesizers() if info.name == "deaf")
    for response in client.watch(name):
        if response.event.log.text == "deaf is here":
            break
    assert next(info.faults for info in client.synthesizers() if info.name == "deaf") == before + 1
    client.stop(name, MODES.MODE_ABORT)
    assert follow(client, name).state == "STOPPED"
