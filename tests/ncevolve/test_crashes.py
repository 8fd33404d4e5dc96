"""A search with every mutation: what is killed within it costs time alone, and what it finds can be exported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engines import History, children, engine, follow
from fakes import small_images
from neunets.wire import graph_from_proto
from neunets_client.client import Client
from neunets_client.connection import Connection
from neunets_ncevolve.mutations import Mutation

pytestmark = pytest.mark.slow

TRIALS = 32
# On one slot each child is bred of the same results in every repetition.
DEVICES = ("--devices", "cpu")
SETTINGS = {"head": "flatten_fc", "width": 8, "root_epochs": 2.0, "epochs": 1.0, "patience": 0, "tournament": 0.1}
OPERATORS = {"add", "concat", "separable_conv"}


def begin(connection: Connection, images: Path) -> tuple[Client, str]:
    client = Client(connection)
    dataset = client.register(str(images), seed=0)
    run = client.create(dataset.name, synthesizer="ncevolve", settings=SETTINGS, trials=TRIALS, seed=2)
    return client, run.name


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_images(tmp_path_factory.mktemp("data") / "small.npz")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Iterator[tuple[Client, History]]:
    """It goes on for as long as the tests of what it has left."""
    with engine(tmp_path_factory.mktemp("home"), *DEVICES) as connection:
        client, name = begin(connection, images)
        yield client, follow(client, name)


def mutations(history: History) -> set[str]:
    proposed = [event.proposed for event in history.search if event.WhichOneof("event") == "proposed"]
    children = [entry.candidate for each in proposed for entry in each.candidates if entry.candidate.lineage]
    return {candidate.rationale.split()[0] for candidate in children}


def results(history: History) -> dict[str, tuple[float, float]]:
    return {end.trial: (end.metrics["valid_loss"], end.metrics["epochs"]) for end in history.ends()}


def test_every_mutation_is_trained(undisturbed: tuple[Client, History]) -> None:
    _, history = undisturbed
    assert history.state == "COMPLETED"
    assert mutations(history) == {mutation.value for mutation in Mutation}
    assert history.rejections() == []
    inherited = [end.metrics["inherited_delta"] for end in history.ends() if "inherited_delta" in end.metrics]
    assert len(inherited) > TRIALS // 2
    assert max(inherited) < 1e-3


def test_networks_with_branches_skips_and_separable_convolutions_are_exported(
    undisturbed: tuple[Client, History],
) -> None:
    """The engine exports nothing that its check does not pass."""
    client, history = undisturbed
    models = [model for model in client.models(history.run.name) if not model.final]
    kinds = {model.name: {node.op for node in graph_from_proto(model.graph).nodes} for model in models}
    name, ops = max(kinds.items(), key=lambda item: (len(OPERATORS & item[1]), item[0]))
    assert ops >= OPERATORS
    picked = client.pick(name)
    assert {artifact.file for artifact in picked.artifacts} >= {"model.onnx", "card.md"}


@pytest.mark.parametrize("module", ["neunets_ncevolve", "neunets_trainer"])
@pytest.mark.parametrize(("kind", "count"), [("proposed", 2), ("started", 9), ("ended", 20)])
def test_a_killed_plugin_or_worker_changes_nothing_that_is_found(
    tmp_path: Path, images: Path, undisturbed: tuple[Client, History], module: str, kind: str, count: int
) -> None:
    _, expected = undisturbed
    with engine(tmp_path, *DEVICES) as connection:
        client, name = begin(connection, images)
        seen = 0
        for response in client.watch(name):
            seen += response.event.search.WhichOneof("event") == kind
            if seen == count:
                break
        children(tmp_path, module)[0].kill()
        history = follow(client, name)
    assert history.state == "COMPLETED"
    assert history.candidates() == expected.candidates()
    assert results(history) == results(expected)
