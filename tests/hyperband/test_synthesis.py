"""Rungs on a real engine: who trains on, goes on from where it has ended."""

from __future__ import annotations

import re

import pytest

from engines import History, engine, follow
from fakes import small_images
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_client.client import Client

pytestmark = pytest.mark.slow
TRIALS = 8
SETTINGS = {"mode": "asha", "min_epochs": 1.0, "max_epochs": 3.0, "stop_below": 0.0}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    images = small_images(tmp_path_factory.mktemp("data") / "small.npz")
    with engine(tmp_path_factory.mktemp("home")) as connection:
        client = Client(connection)
        dataset = client.register(str(images), seed=0)
        run = client.create(
            dataset.name, synthesizer="hyperband", settings=SETTINGS, trials=TRIALS, max_params=20_000, seed=3
        )
        return follow(client, run.name)


def candidates(history: History) -> dict[str, synthesizer_pb2.Candidate]:
    proposed = [event.proposed for event in history.search if event.WhichOneof("event") == "proposed"]
    return {entry.id: entry.candidate for each in proposed for entry in each.candidates}


def test_the_run_comes_to_its_model(history: History) -> None:
    assert (history.state, history.run.trials_ended) == ("COMPLETED", TRIALS)
    assert history.run.model
    assert history.rejections() == []


def test_the_best_trains_on_from_where_it_has_ended(history: History) -> None:
    found, ends = candidates(history), {end.candidate: end for end in reversed(history.ends())}
    by_trial = {end.trial: end for end in ends.values()}
    higher = {name: each for name, each in found.items() if each.recipe.resume_trial}
    assert 1 <= len(higher) <= 4  # it depends on who ends first
    for name, candidate in higher.items():
        before = by_trial[candidate.recipe.resume_trial]
        assert ends[name].metrics["epochs"] == pytest.approx(3.0, abs=0.1)
        assert before.metrics["epochs"] == pytest.approx(1.0, abs=0.1)
        assert ends[name].device_s > before.device_s
        assert candidate.HasField("graph")


def test_verdicts_tell_of_the_rungs(history: History) -> None:
    verdicts = [event.verdict for event in history.events if event.WhichOneof("event") == "verdict"]
    told = re.compile(r"best of \d networks? [01]\.\d+, at (1 epoch|3 epochs); results: \d at 1, [0-4] at 3")
    assert told.fullmatch(verdicts[-1].reason)
    assert verdicts[-1].progress == 1.0
