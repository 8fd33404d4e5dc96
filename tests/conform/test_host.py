"""What the kit's host answers a plugin about lineages and earlier runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from conform.lineages import DEEPER, GIVEN, WIDER, child, made, network, root
from neunets.conform.host import Host
from neunets.morphisms import Widen, derive
from neunets.synthesizer.past import experiences_from_proto
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.synthesizer.v1 import synthesizer_pb2_grpc
from neunets.validate import validate
from neunets.wire import graph_from_proto

STEPS = child(WIDER, DEEPER).lineage


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[synthesizer_pb2_grpc.PluginHostStub]:
    with Host(tmp_path / "host.sock") as host, grpc.insecure_channel(host.endpoint) as channel:
        host.runs["a"] = made()
        yield synthesizer_pb2_grpc.PluginHostStub(channel)


def test_a_lineage_is_applied_to_a_graph(stub: synthesizer_pb2_grpc.PluginHostStub) -> None:
    answer = stub.ApplyMorphs(pb.ApplyMorphsRequest(graph=root(6).graph, lineage=STEPS), timeout=60.0)
    assert graph_from_proto(answer.graph) == derive(network(6), (WIDER, DEEPER))
    assert not answer.diagnostics


def test_a_lineage_is_applied_to_a_candidate_of_a_run(stub: synthesizer_pb2_grpc.PluginHostStub) -> None:
    """Whether its trial has weights or not."""
    answer = stub.ApplyMorphs(pb.ApplyMorphsRequest(run="a", candidate="c000003", lineage=STEPS), timeout=60.0)
    assert graph_from_proto(answer.graph) == derive(network(6), (WIDER, DEEPER))


def test_a_step_that_cannot_be_applied_is_told(stub: synthesizer_pb2_grpc.PluginHostStub) -> None:
    steps = child(DEEPER, Widen("teleport", 9)).lineage
    answer = stub.ApplyMorphs(pb.ApplyMorphsRequest(run="a", candidate="c000001", lineage=steps), timeout=60.0)
    assert not answer.HasField("graph")
    assert [(why.code, why.path) for why in answer.diagnostics] == [("BAD_MORPH", "lineage[1]")]


@pytest.mark.parametrize(
    ("run", "candidate", "code"),
    [
        ("a", "c000006", grpc.StatusCode.NOT_FOUND),
        ("b", "c000001", grpc.StatusCode.NOT_FOUND),
        ("a", None, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_nothing_is_applied_to_what_no_run_has(
    stub: synthesizer_pb2_grpc.PluginHostStub, run: str, candidate: str | None, code: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        stub.ApplyMorphs(pb.ApplyMorphsRequest(run=run, candidate=candidate, lineage=STEPS), timeout=60.0)
    assert refused.value.code() is code


def test_earlier_runs_are_made_up_and_always_the_same(stub: synthesizer_pb2_grpc.PluginHostStub) -> None:
    first, second = (stub.QueryExperiments(pb.QueryExperimentsRequest(run="a"), timeout=60.0) for _ in range(2))
    assert first == second
    near, far = experiences_from_proto(first)
    assert (near.input, far.input) == (GIVEN.input, GIVEN.input)
    assert (near.classes, far.classes) == (GIVEN.classes, GIVEN.classes + 1)
    assert 0.0 < near.distance < far.distance
    for experience in (near, far):
        values = [trial.metrics[GIVEN.metric] for trial in experience.trials]
        assert values == sorted(values, reverse=True)
        for trial in experience.trials:
            assert trial.graph is not None
            validate(trial.graph, classes=experience.classes, input=GIVEN.input)


def test_earlier_runs_are_told_as_they_are_asked_for(stub: synthesizer_pb2_grpc.PluginHostStub) -> None:
    request = pb.QueryExperimentsRequest(run="a", datasets=1, trials=2, synthesizer="made-up", without_graphs=True)
    (experience,) = stub.QueryExperiments(request, timeout=60.0).experiences
    assert [trial.candidate.HasField("graph") for trial in experience.trials] == [False, False]
    request.synthesizer = "another"
    assert not stub.QueryExperiments(request, timeout=60.0).experiences


@pytest.mark.parametrize(
    ("run", "trials", "code"), [("b", 1, grpc.StatusCode.NOT_FOUND), ("a", 65, grpc.StatusCode.INVALID_ARGUMENT)]
)
def test_earlier_runs_are_told_to_a_run_within_the_bounds(
    stub: synthesizer_pb2_grpc.PluginHostStub, run: str, trials: int, code: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        stub.QueryExperiments(pb.QueryExperimentsRequest(run=run, trials=trials), timeout=60.0)
    assert refused.value.code() is code
