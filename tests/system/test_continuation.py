"""Trials that go on from where others have ended, and trials that end early."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines import History, children, engine, follow, processes
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_client.client import Client
from neunets_client.connection import Connection

STATES = synthesizer_pb2.TrialEnded
RUNGS = [1.0, 1.0, 1.0, 3.0, 9.0]


def climb(connection: Connection, images: Path) -> tuple[Client, str]:
    client = Client(connection)
    dataset = client.register(str(images), seed=0)
    return client, client.create(dataset.name, synthesizer="climbing", trials=8, seed=5).name


@pytest.fixture(scope="module")
def ladder(connection: Connection, images: Path) -> History:
    return follow(*climb(connection, images))


def searched(history: History) -> list[STATES]:
    """The ends of the search's trials, by their names."""
    proposed = {event.started.trial: event.started.candidate for event in history.search if event.HasField("started")}
    finals = {event.final_training.trial for event in history.events if event.WhichOneof("event") == "final_training"}
    ends = [end for end in history.ends() if end.trial not in finals]
    assert {end.trial for end in ends} <= proposed.keys()
    return sorted(ends, key=lambda end: end.trial)


def test_no_epoch_is_trained_twice(ladder: History) -> None:
    ends = searched(ladder)
    assert (ladder.state, ladder.rejections()) == ("COMPLETED", [])
    assert [end.metrics["epochs"] for end in ends] == RUNGS
    best = max(ends[:3], key=lambda end: end.metrics["valid_accuracy"])
    assert best.device_s < ends[3].device_s < ends[4].device_s
    epochs = [event.measured.epoch for event in ladder.search if event.measured.trial == ends[4].trial]
    assert min(epochs) > RUNGS[3]


def test_what_is_continued_is_said(client: Client, ladder: History) -> None:
    models = list(client.models(ladder.run.name, "final = false"))
    best = max(models[:3], key=lambda model: model.result.metrics["valid_accuracy"])
    assert [model.continued for model in models] == ["", "", "", best.trial, "t000004"]
    assert len({model.graph.SerializeToString(deterministic=True) for model in (best, *models[3:])}) == 1
    assert [model.recipe.learning_rate for model in models] == [0.02] * len(models)


def test_the_final_training_has_an_end(client: Client, ladder: History) -> None:
    """A rate that stays high is for rungs alone."""
    finals = [model for model in client.models(ladder.run.name) if model.final and model.recipe.epochs]
    assert {model.recipe.schedule for model in finals} == {synthesizer_pb2.SCHEDULE_ONE_CYCLE}
    assert {model.recipe.averaging for model in finals} == {0.0}


@pytest.mark.parametrize("module", ["synthesizers.py climbing", "neunets_trainer", "neunets_engine"])
def test_a_kill_changes_nothing(tmp_path: Path, images: Path, ladder: History, module: str) -> None:
    with engine(tmp_path) as connection:
        client, name = climb(connection, images)
        for response in client.watch(name):
            if response.event.search.ended.metrics.get("epochs") == RUNGS[3]:
                break
        for process in processes(tmp_path) if module == "neunets_engine" else children(tmp_path, module):
            process.kill()
            process.wait(30)
        if module != "neunets_engine":
            history = follow(client, name)
    if module == "neunets_engine":
        with engine(tmp_path) as connection:
            history = follow(Client(connection), name)
    assert history.state == "COMPLETED"
    assert [(end.trial, end.metrics["epochs"], end.metrics["valid_loss"]) for end in searched(history)] == [
        (end.trial, end.metrics["epochs"], end.metrics["valid_loss"]) for end in searched(ladder)
    ]


@pytest.mark.parametrize(("synthesizer", "why"), [("impatient", "seen enough"), ("ruling", "nobody gets on")])
def test_a_trial_that_is_not_wanted_any_more_ends_early(
    client: Client, dataset: service_pb2.Dataset, synthesizer: str, why: str
) -> None:
    history = follow(client, client.create(dataset.name, synthesizer=synthesizer, trials=2).name)
    assert history.state == "COMPLETED"
    ends = searched(history)
    assert [end.state for end in ends] == [STATES.STATE_STOPPED] * 2
    assert all("valid_accuracy" in end.metrics for end in ends)
    logs = [event.log.text for event in history.events if event.WhichOneof("event") == "log"]
    assert sorted(text.partition(":")[0] for text in logs if why in text) == [f"{end.trial} ends early" for end in ends]
