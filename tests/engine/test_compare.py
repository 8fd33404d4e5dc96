"""Models side by side, and what makes two networks differ."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import IMAGE, network
from neunets.graph import Graph, Node
from neunets.morphisms import Branch, Deepen, InsertSkip, Morphism, Widen, WidenKernel
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_to_proto
from neunets_engine.service.compare import compare, diff
from sdk.morphism_strategies import accepted, networks
from strategies import graphs


def test_a_diff_names_what_was_added_removed_and_changed() -> None:
    before = network(IMAGE, 4, 8)
    nodes = [
        replace(node, attributes={"units": 12}) if node.name == "hidden" else node
        for node in before.nodes
        if node.name != "relu"
    ]
    nodes = [replace(node, inputs=("tanh",)) if node.name == "logits" else node for node in nodes]
    nodes.insert(2, Node("tanh", "activation", ("hidden",), {"function": "tanh"}))
    found = diff(graph_to_proto(before), graph_to_proto(Graph(before.input, tuple(nodes), "logits")))
    assert list(found.added) == ["tanh"]
    assert list(found.removed) == ["relu"]
    changed = [(change.node, change.field, change.before, change.after) for change in found.changed]
    assert changed == [("hidden", "units", "8", "12"), ("logits", "inputs", "relu", "tanh")]


PARENT = Graph(
    IMAGE,
    (
        Node("cell/conv", "conv", ("image",), {"channels": 4, "kernel": 3}),
        Node("cell/relu", "activation", ("cell/conv",), {"function": "relu"}),
        Node("cell/deep", "conv", ("cell/relu",), {"channels": 4, "kernel": 3, "groups": 4}),
        Node("pool", "global_pool", ("cell/deep",), {"function": "avg"}),
        Node("logits", "linear", ("pool",), {"units": 3}),
    ),
    "logits",
)
EDITS: list[tuple[Morphism, list[str], list[str], list[tuple[str, str, str, str]]]] = [
    (
        Widen("cell/conv", 6),
        [],
        [],
        [
            ("cell/conv", "channels", "4", "6"),
            ("cell/deep", "channels", "4", "6"),
            ("cell/deep", "groups", "4", "6"),
        ],
    ),
    (
        Deepen("cell/relu", norm=True),
        ["cell/conv2", "cell/norm2", "cell/activation2"],
        [],
        [("cell/deep", "inputs", "cell/relu", "cell/activation2")],
    ),
    (WidenKernel("cell/deep", 5), [], [], [("cell/deep", "kernel", "3", "5")]),
    (
        InsertSkip("cell/relu"),
        ["cell/conv2", "cell/norm2", "cell/add2", "cell/activation2"],
        [],
        [("cell/deep", "inputs", "cell/relu", "cell/activation2")],
    ),
    (
        Branch("cell/conv"),
        ["cell/conv_left", "cell/relu_left", "cell/conv_right", "cell/relu_right", "cell/concat"],
        ["cell/conv", "cell/relu"],
        [("cell/deep", "inputs", "cell/relu", "cell/concat")],
    ),
]


@pytest.mark.parametrize(("change", "added", "removed", "changed"), EDITS, ids=[edit[0].kind for edit in EDITS])
def test_a_child_differs_from_its_parent_where_the_morphism_worked(
    change: Morphism, added: list[str], removed: list[str], changed: list[tuple[str, str, str, str]]
) -> None:
    found = diff(graph_to_proto(PARENT), graph_to_proto(change.apply(PARENT)))
    assert (list(found.added), list(found.removed)) == (added, removed)
    assert [(each.node, each.field, each.before, each.after) for each in found.changed] == changed


@settings(max_examples=40)
@given(data=st.data())
def test_what_a_lineage_leaves_alone_is_not_told(data: st.DataObject) -> None:
    parent = data.draw(networks()).graph
    child = data.draw(accepted(parent)).apply(parent)
    found = diff(graph_to_proto(parent), graph_to_proto(child))
    assert {*found.added}.isdisjoint(found.removed)
    told = {*found.added, *found.removed, *(change.node for change in found.changed)}
    assert told
    for node in child.nodes:
        assert node.name in told or node in parent.nodes


@given(graph=graphs())
def test_a_network_does_not_differ_from_itself(graph: Graph) -> None:
    message = graph_to_proto(graph)
    assert diff(message, message) == service_pb2.GraphDiff()


def test_figures_stand_side_by_side() -> None:
    first = service_pb2.Model(name="a", params=10, graph=graph_to_proto(network(IMAGE, 4, 8)))
    first.figures["latency_ms"] = 2.0
    second = service_pb2.Model(name="b", params=20, graph=graph_to_proto(network(IMAGE, 4, 9)))
    second.result.CopyFrom(synthesizer_pb2.TrialEnded(metrics={"valid_accuracy": 0.5}))
    found = compare([first, second])
    rows = {row.name: list(row.values) for row in found.figures}
    assert rows["params"] == [10.0, 20.0]
    assert math.isnan(rows["valid_accuracy"][0])
    assert rows["valid_accuracy"][1] == 0.5
    assert rows["latency_ms"][0] == 2.0
    assert math.isnan(rows["latency_ms"][1])
    assert [model.name for model in found.models] == ["a", "b"]
    assert len(found.diffs) == 1
