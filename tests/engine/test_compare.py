"""Models side by side, and what makes two networks differ."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given

from fakes import IMAGE, network
from neunets.graph import Graph, Node
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_to_proto
from neunets_engine.service.compare import compare, diff
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
