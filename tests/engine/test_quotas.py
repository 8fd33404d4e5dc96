"""What a plugin may make the engine keep and send: no more than its messages hold."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fakes import IMAGE, network
from neunets.errors import InvalidRequest, PluginFault
from neunets.graph import Graph, Node
from neunets.graph.v1 import graph_pb2
from neunets.messages import CANDIDATE_BYTES, LINEAGE_STEPS, MESSAGE_BYTES, RECEIVE_BYTES
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_to_proto
from neunets_engine.admission import TOO_LARGE, Rules
from neunets_engine.experiments import query
from neunets_engine.intake import Intake
from neunets_engine.leases import Patience
from neunets_engine.plugins import PluginHost
from neunets_engine.quotas import check_rejected, verdict_of
from neunets_engine.scheduler import Scheduler
from neunets_engine.service.batches import MOST_EVENTS, Batches
from neunets_engine.service.compare import compare
from neunets_engine.store import Store

RULES = Rules(IMAGE, 3, None)
STEPS = 40_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


def long_network(layers: int, units: int = 4) -> Graph:
    """With names of 100 bytes, as those of nested cells are."""
    names = [f"{'cell/' * 20}{number}" for number in range(layers)]
    nodes = [
        Node(name, "linear", (before,), {"units": units}) for before, name in zip(["flat", *names], names, strict=False)
    ]
    last = Node("logits", "linear", (names[-1],), {"units": 3})
    return Graph(IMAGE, (Node("flat", "flatten", (IMAGE.name,)), *nodes, last), "logits")


async def opened(store: Store, *candidates: synthesizer_pb2.Candidate) -> Intake:
    await store.create_run(
        service_pb2.Run(name="runs/r1", spec=service_pb2.RunSpec(dataset="datasets/d", trials=9)), ""
    )
    scheduler = Scheduler(store, Patience())
    scheduler.open("r1", lambda trial: synthesizer_pb2.Recipe())
    return Intake("r1", store, scheduler, lambda: RULES)


def too_large() -> Iterator[tuple[str, synthesizer_pb2.Candidate]]:
    good = graph_to_proto(network(IMAGE, 3, 8))
    many = {str(number): "v" for number in range(100_000)}
    step = synthesizer_pb2.Morph(kind="widen", node="hidden")
    yield "graph", synthesizer_pb2.Candidate(graph=good, rationale="x" * CANDIDATE_BYTES)
    yield "labels", synthesizer_pb2.Candidate(graph=good, labels=dict(list(many.items())[:17]))
    yield "labels", synthesizer_pb2.Candidate(graph=good, labels={"a": "x" * 257})
    yield "parents", synthesizer_pb2.Candidate(graph=good, parents=["c1"] * 65)
    yield "lineage", synthesizer_pb2.Candidate(parents=["c1"], lineage=[step] * (LINEAGE_STEPS + 1))
    yield "local_id", synthesizer_pb2.Candidate(graph=good, local_id="x" * 257)


@pytest.mark.parametrize(("path", "candidate"), list(too_large()))
async def test_a_candidate_that_is_too_large_is_rejected_and_not_kept(
    store: Store, path: str, candidate: synthesizer_pb2.Candidate
) -> None:
    intake = await opened(store)
    taken = await intake.take("q1", [candidate])
    (why,) = taken.rejected[0].why
    assert (why.code, why.path) == (TOO_LARGE, path)
    assert sum(event.ByteSize() for event in store.events("r1", 0)) < 2000


async def test_the_largest_graphs_are_replayed_and_watched_in_messages_that_are_received(store: Store) -> None:
    intake = await opened(store)
    for number in range(3):
        graphs = [graph_to_proto(long_network(1500, 4 + 8 * number + index)) for index in range(8)]
        taken = await intake.take(f"q{number}", [synthesizer_pb2.Candidate(graph=graph) for graph in graphs])
        assert 1 <= taken.admitted < 8  # as many as an event holds
    seen, applied = 0, 0
    batches = Batches(store)
    while (batch := batches.after("r1", seen, MOST_EVENTS, brief=False)) is not None:
        assert batch.ByteSize() < RECEIVE_BYTES
        seen += 1 + len(batch.more)
    while events := store.search_events("r1", applied):
        assert synthesizer_pb2.IngestRequest(events=events).ByteSize() < 2 * MESSAGE_BYTES
        applied = events[-1].seq
    assert (seen, applied) == (store.run("r1").run.seq, store.run("r1").search_seq)


def test_models_that_differ_a_lot_are_compared_without_their_graphs() -> None:
    graphs = [graph_to_proto(long_network(1500, units)) for units in range(4, 20)]
    answer = compare([service_pb2.Model(graph=graph) for graph in graphs[:12]])
    assert answer.ByteSize() < RECEIVE_BYTES
    assert not any(model.HasField("graph") for model in answer.models)


def test_a_run_keeps_so_many_rejected_candidates_and_no_more() -> None:
    record = store_pb2.RunRecord(run=service_pb2.Run(rejected=10_000), trials=3)
    check_rejected(record)
    record.run.rejected += 1
    with pytest.raises(PluginFault, match="10,001"):
        check_rejected(record)
    record.trials = 1_001
    check_rejected(record)


@pytest.mark.parametrize("progress", [float("nan"), float("inf"), -1.0, 1.5])
def test_a_progress_that_is_none_is_left_out(progress: float) -> None:
    kept = verdict_of(synthesizer_pb2.AssessResponse(progress=progress, reason="x" * 1000))
    assert not kept.HasField("progress")
    assert len(kept.reason) == 256


def _host(store: Store) -> PluginHost:
    return PluginHost(lambda run: RULES, lambda run, candidate: graph_pb2.Graph(), partial(query, store))


@pytest.mark.parametrize(
    "request_of",
    [
        lambda: synthesizer_pb2.EstimateCostRequest(
            graph=graph_pb2.Graph(nodes=[graph_pb2.Node(name="a", op="b")] * STEPS * 3)
        ),
        lambda: synthesizer_pb2.ApplyMorphsRequest(
            graph=graph_to_proto(network(IMAGE, 3, 8)),
            lineage=[synthesizer_pb2.Morph(kind="widen", node="hidden")] * STEPS,
        ),
    ],
)
async def test_more_than_a_message_holds_is_refused_at_once(store: Store, request_of: Any) -> None:
    request, host = request_of(), _host(store)
    call = host.EstimateCost if isinstance(request, synthesizer_pb2.EstimateCostRequest) else host.ApplyMorphs
    with pytest.raises(InvalidRequest, match="at most"):
        await call(request, None)


async def test_others_are_answered_while_a_lineage_is_applied(store: Store) -> None:
    """It takes seconds, in a thread: what is asked meanwhile comes first."""
    steps = []
    for width in range(9, 9 + 12):
        step = synthesizer_pb2.Morph(kind="widen", node=f"{'cell/' * 20}0")
        step.args["width"].int = width
        steps.append(step)
    request = synthesizer_pb2.ApplyMorphsRequest(graph=graph_to_proto(long_network(300)), lineage=steps)
    heavy = asyncio.ensure_future(_host(store).ApplyMorphs(request, None))  # type: ignore[arg-type]
    for _ in range(3):
        await asyncio.sleep(0)
    assert not heavy.done()
    answer = await heavy
    assert not answer.diagnostics
