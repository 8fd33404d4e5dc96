"""What a plugin is told of earlier runs, out of a real store: whose results, in which order, and how many."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import IMAGE, network
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.past import experiences_from_proto
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.wire import graph_to_proto, input_to_proto
from neunets_engine.admission import Rules
from neunets_engine.experiments import query
from neunets_engine.intake import Intake
from neunets_engine.leases import Patience
from neunets_engine.lifecycle import State
from neunets_engine.scheduler import Scheduler
from neunets_engine.store import Store

ENDS = {
    State.FAILED: (State.FAILED,),
    State.STOPPED: (State.STOPPING, State.STOPPED),
    State.COMPLETED: (State.INITIALIZING, State.PROPOSING, State.FINALIZING, State.COMPLETED),
}
METRIC = "valid_accuracy"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


async def dataset(store: Store, sha256: str, rows: int = 1000, classes: int = 3) -> None:
    kept = service_pb2.Dataset(
        name=f"datasets/{sha256}", sha256=sha256, task="image-classification", input=input_to_proto(IMAGE),
        classes=map(str, range(classes)), train_rows=rows, meta_features={"imbalance": 1.5},
    )  # fmt: skip
    await store.put_dataset(kept)


async def created(store: Store, run_id: str, sha256: str, **spec: str) -> None:
    run = service_pb2.Run(name=f"runs/{run_id}", task=spec.pop("task", "image-classification"))
    run.spec.CopyFrom(service_pb2.RunSpec(dataset=f"datasets/{sha256}", **{"synthesizer": "random"} | spec))
    run.create_time.FromNanoseconds(time.time_ns())
    await store.create_run(run, "")


async def over(
    store: Store, run_id: str, sha256: str, *trials: store_pb2.TrialRecord, end: State = State.FAILED, **spec: str
) -> None:
    """A run from its beginning to its end."""
    await created(store, run_id, sha256, **spec)
    for trial in trials:
        trial.run = run_id
    await store.record_proposals(run_id, pb.Proposed(), [(trial, trial.trial) for trial in trials], [])
    for state in ENDS[end]:
        await store.move(run_id, state)


def trial(number: int, value: float, metric: str = METRIC, **fields: Any) -> store_pb2.TrialRecord:
    """Ended, with a network of as many hidden units."""
    graph = graph_to_proto(network(IMAGE, 3, number))
    succeeded = pb.TrialEnded(state=pb.TrialEnded.STATE_SUCCEEDED, metrics={metric: value}, device_s=2.5)
    record = store_pb2.TrialRecord(
        trial=f"t{number:06d}", candidate=f"c{number:06d}", graph=graph, state=service_pb2.TRIAL_STATE_ENDED,
        result=succeeded,
    )  # fmt: skip
    record.MergeFrom(store_pb2.TrialRecord(**fields))
    return record


async def asked(store: Store, sha256: str = "own", **fields: Any) -> list[pb.Experience]:
    """By a run on these data that begins now."""
    run_id = f"asking-{time.time_ns()}"
    await created(store, run_id, sha256)
    return await again(store, run_id, **fields)


async def again(store: Store, run_id: str, **fields: Any) -> list[pb.Experience]:
    return list((await query(store, pb.QueryExperimentsRequest(run=run_id, **fields))).experiences)


def told(experience: pb.Experience) -> list[tuple[str, str]]:
    return [(past.run, f"{past.metrics[METRIC]:g}") for past in experience.trials]


async def test_the_best_come_first_and_runs_on_the_same_data_are_one(store: Store) -> None:
    await dataset(store, "own")
    await over(store, "r1", "own", trial(1, 0.5), trial(2, 0.9))
    await over(store, "r2", "own", trial(1, 0.9), trial(2, 0.7), end=State.COMPLETED)
    await over(store, "r3", "own", trial(1, 0.6), end=State.STOPPED)
    (experience,) = await asked(store)
    assert told(experience) == [("r1", "0.9"), ("r2", "0.9"), ("r2", "0.7"), ("r3", "0.6"), ("r1", "0.5")]
    assert told((await asked(store, trials=2))[0]) == [("r1", "0.9"), ("r2", "0.9")]


async def test_similar_data_come_first_and_ones_own_before_all(store: Store) -> None:
    for sha256, rows in (("far", 90_000), ("alike", 1000), ("own", 1000), ("near", 1100)):
        await dataset(store, sha256, rows)
        await over(store, f"on-{sha256}", sha256, trial(1, 0.5))
    experiences = await asked(store)
    assert [each.dataset.sha256 for each in experiences] == ["own", "alike", "near", "far"]
    assert [each.distance for each in experiences][:2] == [0.0, 0.0]
    assert 0.0 < experiences[2].distance < experiences[3].distance
    assert [each.dataset.sha256 for each in await asked(store, datasets=2)] == ["own", "alike"]


async def test_data_without_a_result_take_no_place(store: Store) -> None:
    for sha256, rows in (("own", 1000), ("far", 90_000)):
        await dataset(store, sha256, rows)
    await over(store, "r1", "own")
    await over(store, "r2", "far", trial(1, 0.5))
    assert [each.dataset.sha256 for each in await asked(store, datasets=1)] == ["far"]


async def test_what_ends_later_is_not_told(store: Store) -> None:
    await dataset(store, "own")
    await over(store, "r1", "own", trial(1, 0.5))
    await created(store, "r2", "own")
    before = await again(store, "runs/r2")
    await over(store, "r3", "own", trial(1, 0.9))
    await store.move("r2", State.FAILED)
    assert [told(each) for each in before] == [[("r1", "0.5")]]
    assert await again(store, "r2") == before


async def test_runs_that_strove_for_something_else_are_left_out(store: Store) -> None:
    await dataset(store, "own")
    other = "valid_macro_f1"
    await over(store, "r1", "own", trial(1, 0.9), task="sequence-classification")
    await over(store, "r2", "own", trial(1, 0.8, metric=other), metric=other)
    await over(store, "r3", "own", trial(1, 0.7), metric=METRIC)
    assert [told(each) for each in await asked(store)] == [[("r3", "0.7")]]
    await created(store, "r4", "own", metric=other)
    (experience,) = await again(store, "r4")
    assert [(past.run, past.metrics[other]) for past in experience.trials] == [("r2", 0.8)]


async def test_only_results_of_the_search_count(store: Store) -> None:
    await dataset(store, "own")
    failed = pb.TrialEnded(state=pb.TrialEnded.STATE_INFEASIBLE)
    stopped = pb.TrialEnded(state=pb.TrialEnded.STATE_STOPPED)
    trials = (
        trial(1, 0.9, final_of="t000006"), trial(2, 0.8, injected=True), trial(3, 0.7, result=failed),
        trial(4, float("nan")), trial(5, 0.6, metric="train_loss"), trial(6, 0.5, result=stopped),
    )  # fmt: skip
    await over(store, "r1", "own", *trials)
    assert [told(each) for each in await asked(store)] == [[("r1", "0.5")]]


async def test_of_trainings_that_continue_one_another_the_last_result_counts(store: Store) -> None:
    await dataset(store, "own")
    nan = float("nan")
    rungs = (
        trial(1, 0.9), trial(2, 0.4), trial(3, nan, continued="t000001"), trial(4, 0.5, continued="t000002"),
        trial(5, 0.6, continued="t000003"), trial(6, nan, continued="t000004"),
    )  # fmt: skip
    await over(store, "r1", "own", *rungs)
    assert [told(each) for each in await asked(store)] == [[("r1", "0.6"), ("r1", "0.5")]]


async def test_a_trial_is_told_as_it_was_proposed(store: Store) -> None:
    await dataset(store, "own", classes=4)
    asked_for = pb.Recipe(epochs=3.0)
    one = trial(
        1, 0.5, asked=asked_for, recipe=pb.Recipe(epochs=3.0, momentum=0.9), rationale="why", labels={"width": "8"}
    )
    await over(store, "r1", "own", one, synthesizer="evolution")
    (experience,) = await asked(store)
    (past,) = experience.trials
    assert past.candidate == pb.Candidate(graph=one.graph, recipe=asked_for, rationale="why", labels={"width": "8"})
    assert (past.run, past.synthesizer, past.device_s) == ("r1", "evolution", 2.5)
    assert (experience.input, experience.dataset.classes) == (input_to_proto(IMAGE), 4)
    assert dict(experience.dataset.meta_features) == {"imbalance": 1.5}
    (without,) = (await asked(store, without_graphs=True))[0].trials
    assert not without.candidate.HasField("graph")


async def test_one_synthesizers_trials_can_be_asked_for(store: Store) -> None:
    await dataset(store, "own")
    await over(store, "r1", "own", trial(1, 0.5), synthesizer="evolution")
    await over(store, "r2", "own", trial(1, 0.9))
    assert [told(each) for each in await asked(store, synthesizer="evolution")] == [[("r1", "0.5")]]
    assert await asked(store, synthesizer="nobody") == []


async def test_a_large_answer_loses_its_last_graphs_and_then_its_last_trials(store: Store) -> None:
    for sha256, rows in (("own", 1000), ("far", 90_000)):
        await dataset(store, sha256, rows)
        large = [trial(number, 1.0 - number / 100) for number in range(1, 6)]
        for each in large:
            each.graph.nodes[0].name = "n" * 150_000
        await over(store, f"on-{sha256}", sha256, *large)
    request = pb.QueryExperimentsRequest(run="asking")
    await created(store, "asking", "own")
    answer = await query(store, request)
    assert [[past.candidate.HasField("graph") for past in each.trials] for each in answer.experiences] == [
        [True] * 5,
        [True, False, False, False, False],
    ]
    await over(store, "spoken", "own", *(trial(number, 1.0, labels={"x": "y" * 300_000}) for number in range(1, 6)))
    await created(store, "later", "own")
    request.run = "later"
    shorter = await query(store, request)
    assert [len(each.trials) for each in shorter.experiences] == [3]
    assert not any(past.candidate.HasField("graph") for past in shorter.experiences[0].trials)
    assert max(answer.ByteSize(), shorter.ByteSize()) <= 1 << 20


async def test_nothing_is_learned_where_nothing_was_run(store: Store) -> None:
    await dataset(store, "own")
    assert await asked(store) == []


async def test_a_synthesizer_reads_what_the_engine_tells(store: Store) -> None:
    await dataset(store, "own")
    await over(store, "r1", "own", trial(7, 0.5, labels={"width": "7"}))
    (experience,) = experiences_from_proto(pb.QueryExperimentsResponse(experiences=await asked(store)))
    assert (experience.input, experience.classes, experience.train_rows) == (IMAGE, 3, 1000)
    (past,) = experience.trials
    assert (past.graph, past.labels, past.metrics) == (network(IMAGE, 3, 7), {"width": "7"}, {METRIC: 0.5})


async def test_the_labels_of_a_candidate_are_kept_with_its_trial(store: Store) -> None:
    """Also of one that continues another's."""
    await dataset(store, "own")
    await created(store, "r1", "own")
    first = trial(1, 0.5, run="r1", labels={"rung": "1"}, recipe=pb.Recipe(epochs=1.0))
    first.result.artifacts["checkpoint"].sha256 = "0" * 64
    await store.record_proposals("r1", pb.Proposed(), [(first, "hash")], [])
    intake = Intake("r1", store, Scheduler(store, Patience()), lambda: Rules(IMAGE, 3, None))
    fresh = pb.Candidate(graph=graph_to_proto(network(IMAGE, 3, 9)), labels={"rung": "1", "width": "9"})
    longer = pb.Candidate(recipe=pb.Recipe(epochs=3.0, resume_trial="t000001"), labels={"rung": "2"})
    assert (await intake.take("q1", [fresh, longer])).admitted == 2
    labels = {kept.trial: dict(kept.labels) for kept in store.trials("r1")}
    assert labels["t000002"] == {"rung": "1", "width": "9"}
    assert labels["t000003"] == {"rung": "2"}
