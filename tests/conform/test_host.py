"""What the kit's host answers a plugin about lineages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from conform.lineages import DEEPER, WIDER, child, made, network, root
from neunets.conform.host import Host
from neunets.morphisms import Widen, derive
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.synthesizer.v1 import synthesizer_pb2_grpc
from neunets.wire import graph_from_proto

STEPS = child(WIDER, DEEPER).lineage


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[synthesizer_pb2_grpc.PluginHostStub]:
    with Host(tmp_path / "host.sock") as host, grpc.insecure_channel(host.endpoint) as channel:
        host.runs["a"] = made()
        yield synthesizer_pb2_grpc.PluginHostStub(channel)


def test_a_lineage_is_applied_to_a_graph(stub: synthesizer_pb2_grpc.PluginHostStub) -> None:
    answer = stub.ApplyMorphs(pb.ApplyMorphsRequest(graph=root(6).graph, lineage=STEPS), timeout=5.0)
    assert graph_from_proto(answer.graph) == derive(network(6), (WIDER, DEEPER))
    assert not answer.diagnostics


def test_a_lineage_is_applied_to_a_candidate_of_a_run(stub: synthesizer_pb2_grpc.PluginHostStub) -> None:
    """Whether its trial has weights or not."""
    answer = stub.ApplyMorphs(pb.ApplyMorphsRequest(run="a", candidate="c000003", lineage=STEPS), timeout=5.0)
    assert graph_from_proto(answer.graph) == derive(network(6), (WIDER, DEEPER))


def test_a_step_that_cannot_be_applied_is_told(stub: synthesizer_pb2_grpc.PluginHostStub) -> None:
    steps = child(DEEPER, Widen("teleport", 9)).lineage
    answer = stub.ApplyMorphs(pb.ApplyMorphsRequest(run="a", candidate="c000001", lineage=steps), timeout=5.0)
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
        stub.ApplyMorphs(pb.ApplyMorphsRequest(run=run, candidate=candidate, lineage=STEPS), timeout=5.0)
    assert refused.value.code() is code
