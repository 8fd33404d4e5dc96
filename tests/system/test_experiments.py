"""A synthesizer asks a real engine what earlier runs have learned, and asks again after its process was killed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engines import engine, follow
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_client.client import Client

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).with_name("recalling.py")
METRIC = "valid_accuracy"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """To an engine of its own, in which nobody else has learned anything."""
    home = tmp_path_factory.mktemp("home")
    with engine(home, "--plugin", f"recalling={sys.executable} {SCRIPT} {home / 'killed'}") as connection:
        yield Client(connection)


@pytest.fixture(scope="module")
def digits(alone: Client) -> service_pb2.Dataset:
    return alone.register("digits", seed=0)


@pytest.fixture(scope="module")
def first(alone: Client, digits: service_pb2.Dataset) -> list[service_pb2.Model]:
    """The networks of a search that is over, the best first."""
    run = follow(alone, alone.create(digits.name, synthesizer="random", trials=2, max_params=2000, seed=1).name).run
    assert run.state == service_pb2.RUN_STATE_COMPLETED
    return list(alone.models(run.name, "final = false", "metric desc"))


def known(digits: service_pb2.Dataset, models: list[service_pb2.Model], by: str, is_own: bool) -> dict[str, Any]:
    """As the plugin says it."""
    return {
        "classes": 10,
        "rows": digits.train_rows,
        "is_own": is_own,
        "by": [by] * len(models),
        "values": [model.result.metrics[METRIC] for model in models],
        "nodes": [len(model.graph.nodes) for model in models],
    }


def recalled(candidate: synthesizer_pb2.Candidate) -> list[dict[str, Any]]:
    return [json.loads(text) for row, text in sorted(candidate.labels.items()) if row != "pid"]


def test_what_was_learned_is_told_alike_to_each_process_of_a_run(
    alone: Client, images: Path, digits: service_pb2.Dataset, first: list[service_pb2.Model]
) -> None:
    other = alone.register(str(images), seed=0)
    history = follow(alone, alone.create(other.name, synthesizer="recalling", trials=2, seed=1).name)
    assert history.state == "COMPLETED"
    proposed = [entry.candidate for event in history.search for entry in event.proposed.candidates]
    assert len({candidate.labels["pid"] for candidate in proposed}) == 2
    expected = known(digits, first, "random", is_own=False)
    assert [recalled(candidate) for candidate in proposed] == [[expected]] * 2


def test_ones_own_data_are_the_most_similar(
    alone: Client, digits: service_pb2.Dataset, first: list[service_pb2.Model]
) -> None:
    history = follow(alone, alone.create(digits.name, synthesizer="recalling", trials=1, seed=1).name)
    (candidate,) = (entry.candidate for event in history.search for entry in event.proposed.candidates)
    assert recalled(candidate)[0] == known(digits, first, "random", is_own=True)
