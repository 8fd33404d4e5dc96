"""Evolution on a real engine: children inherit, and what they inherit is what their parents have learned."""

from __future__ import annotations

import pytest

from engines import History, engine, follow
from fakes import small_images
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_from_proto
from neunets_client.client import Client
from neunets_ncevolve.mutations import Mutation

MAX_PARAMS = 20_000
SETTINGS = {"root_epochs": 4.0, "epochs": 2.0, "patience": 0}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    images = small_images(tmp_path_factory.mktemp("data") / "small.npz")
    with engine(tmp_path_factory.mktemp("home")) as connection:
        client = Client(connection)
        dataset = client.register(str(images), seed=0)
        run = client.create(
            dataset.name, synthesizer="ncevolve", settings=SETTINGS, trials=6, max_params=MAX_PARAMS, seed=3
        )
        return follow(client, run.name)


def candidates(history: History) -> dict[str, synthesizer_pb2.Candidate]:
    proposed = [event.proposed for event in history.search if event.WhichOneof("event") == "proposed"]
    return {entry.id: entry.candidate for each in proposed for entry in each.candidates}


def test_the_run_comes_to_its_model(history: History) -> None:
    assert (history.state, history.run.trials_ended) == ("COMPLETED", 6)
    assert history.run.model
    assert history.rejections() == []


def test_children_begin_with_what_their_parents_have_learned(history: History) -> None:
    found = candidates(history)
    children = {name for name, candidate in found.items() if candidate.lineage}
    assert len(children) == 4
    ends = {end.candidate: end for end in history.ends() if end.candidate in children}
    assert ends.keys() == children
    assert all(end.state == synthesizer_pb2.TrialEnded.STATE_SUCCEEDED for end in ends.values())
    assert all(end.metrics["inherited_delta"] < 1e-3 for end in ends.values())
    assert all(found[name].HasField("graph") for name in children)


def test_each_child_says_how_it_came_about(history: History) -> None:
    kinds = {mutation.value for mutation in Mutation}
    for candidate in candidates(history).values():
        if candidate.lineage:
            (parent,) = candidate.parents
            assert candidate.rationale.split()[0] in kinds
            assert candidate.labels["origin"] == f"from {parent} by {candidate.rationale.split()[0]}"
            assert {step.node.partition("/")[0] for step in candidate.lineage} <= {"stem", "cell1", "cell2", "head"}
            assert graph_from_proto(candidate.graph).output == "logits"


def test_the_last_verdict_tells_of_the_best(history: History) -> None:
    verdicts = [event.verdict for event in history.events if event.WhichOneof("event") == "verdict"]
    assert verdicts[-1].reason.startswith("best of 6 networks")
    assert verdicts[-1].progress == 1.0
