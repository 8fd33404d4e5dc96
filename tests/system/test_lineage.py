"""A run whose networks come from one another, from the plugin's morphisms to the family tree and the model card."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from engines import History, follow
from neunets.service.v1 import service_pb2
from neunets.wire import graph_from_proto
from neunets_client import Client, Connection, connect_async

TRIALS, CHANGES = 3, [[], ["widen hidden to 10"], ["widen hidden to 12"]]


@pytest.fixture(scope="module")
def descent(client: Client, dataset: service_pb2.Dataset) -> History:
    return follow(client, client.create(dataset.name, synthesizer="descending", trials=TRIALS, seed=3).name)


@pytest.fixture(scope="module")
def models(client: Client, descent: History) -> list[service_pb2.Model]:
    """Of the search."""
    return list(client.models(descent.run.name, "final = false"))


def cli(home: Path, *words: str) -> str:
    command = [sys.executable, "-m", "neunets_client", *words, "--server", f"unix:{home}/engine.sock"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_children_are_derived_from_their_parents_and_inherit(descent: History, models: list[service_pb2.Model]) -> None:
    assert descent.state == "COMPLETED"
    assert [model.parent for model in models] == ["", "t000001", "t000002"]
    units = [graph_from_proto(model.graph).nodes[1].attributes["units"] for model in models]
    assert units == [8, 10, 12]
    assert "inherited_delta" not in models[0].result.metrics
    assert all(model.result.metrics["inherited_delta"] < 1e-4 for model in models[1:])
    assert not any(end.error.code for end in descent.ends())


def test_the_line_of_the_winner_is_told(
    client: Client, home: Path, descent: History, models: list[service_pb2.Model]
) -> None:
    line = client.lineage(descent.run.name)
    assert line[-1].trial == client.model(descent.run.model).final_of == descent.run.best_trial
    assert [relative.trial for relative in line] == [model.trial for model in models[: len(line)]]
    assert [list(relative.changes) for relative in line] == CHANGES[: len(line)]
    words = cli(home, "lineage", descent.run.name).splitlines()
    assert words == [relative.line() for relative in line]


async def test_the_asyncio_client_tells_it_alike(connection: Connection, client: Client, descent: History) -> None:
    async with connect_async(connection.target) as other:
        assert await other.lineage(descent.run.name) == client.lineage(descent.run.name)


def test_all_relatives_are_a_tree(home: Path, descent: History, models: list[service_pb2.Model]) -> None:
    rows = json.loads(cli(home, "lineage", descent.run.name, "--all", "--json"))
    assert [(row["trial"], row["parent"], row["changes"]) for row in rows] == [
        (model.trial, model.parent, changes) for model, changes in zip(models, CHANGES, strict=True)
    ]
    assert [row["validation"] for row in rows] == [model.result.metrics["valid_accuracy"] for model in models]
    gains = [after["validation"] - before["validation"] for before, after in pairwise(rows)]
    assert [row["gain"] for row in rows] == [None, *gains]
    best = int(descent.run.best_trial.removeprefix("t"))
    assert [row["in_line"] for row in rows] == [number <= best for number in range(1, TRIALS + 1)]
    _, *branches = cli(home, "lineage", descent.run.name, "--all").splitlines()
    assert [branch.index("t") for branch in branches] == [4, 8, 12]


def test_a_network_of_its_own_is_one_line(client: Client, home: Path, dataset: service_pb2.Dataset) -> None:
    run = follow(client, client.create(dataset.name, synthesizer="good", trials=1).name).run
    (line,) = cli(home, "lineage", run.name).splitlines()
    assert line.startswith("t000001 first of its line: ")


def test_the_card_the_table_and_the_comparison_tell_it(
    client: Client, descent: History, models: list[service_pb2.Model], tmp_path: Path
) -> None:
    client.download(descent.run.model, tmp_path)
    line = client.lineage(descent.run.name)
    steps = json.loads((tmp_path / "card.json").read_text())["lineage"]
    assert [(step["trial"], step["changes"]) for step in steps] == [(one.trial, list(one.changes)) for one in line]
    assert [step["valid_accuracy"] for step in steps] == [relative.validation for relative in line]
    assert "## How it was found" in (tmp_path / "card.md").read_text()
    table = client.trials(descent.run.name)
    assert list(table["lineage"].fillna(""))[:TRIALS] == ["; ".join(changes) for changes in CHANGES]
    (diff,) = client.compare([models[0].name, models[1].name]).diffs
    changed = [(change.node, change.field, change.before, change.after) for change in diff.changed]
    assert changed == [("hidden", "units", "8", "10")]
