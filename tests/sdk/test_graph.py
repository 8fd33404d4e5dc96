"""Laws of the network IR."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.canonical import canonical_hash
from neunets.cost import cost, parameters
from neunets.errors import InvalidGraph
from neunets.graph import DataType, Graph, Input, Node
from neunets.graph.v1 import graph_pb2
from neunets.reference import initialise, run
from neunets.validate import validate
from neunets.wire import graph_from_proto, graph_to_proto
from strategies import CLASSES, Case, cases, graphs

INPUT = Input("image", (8, 8, 1), DataType.UINT8, (0.0,), (1.0,))


def chain(*nodes: Node) -> Graph:
    return Graph(INPUT, nodes, nodes[-1].name)


GOOD = chain(
    Node("conv", "conv", ("image",), {"channels": 4, "kernel": 3}),
    Node("pool", "global_pool", ("conv",), {"function": "avg"}),
    Node("logits", "linear", ("pool",), {"units": 10}),
)


def renamed(graph: Graph) -> Graph:
    names = {graph.input.name: "other"} | {node.name: f"x{number}" for number, node in enumerate(graph.nodes)}
    nodes = tuple(replace(n, name=names[n.name], inputs=tuple(names[i] for i in n.inputs)) for n in graph.nodes)
    return Graph(replace(graph.input, name="other"), nodes, names[graph.output])


def reordered(graph: Graph, rng: np.random.Generator) -> Graph:
    """Another topological order."""
    done, rest, order = {graph.input.name}, list(graph.nodes), []
    while rest:
        ready = [node for node in rest if set(node.inputs) <= done]
        node = ready[rng.integers(len(ready))]
        rest.remove(node)
        done.add(node.name)
        order.append(node)
    return replace(graph, nodes=tuple(order))


@given(graph=graphs())
def test_random_graphs_are_valid(graph: Graph) -> None:
    validate(graph, classes=CLASSES, input=graph.input)


@given(graph=graphs())
def test_the_wire_keeps_a_graph(graph: Graph) -> None:
    message = graph_pb2.Graph.FromString(graph_to_proto(graph).SerializeToString())
    assert graph_from_proto(message) == graph


@given(graph=graphs(), seed=st.integers(0, 2**32 - 1))
def test_the_hash_ignores_names_and_order(graph: Graph, seed: int) -> None:
    other = renamed(reordered(graph, np.random.default_rng(seed)))
    assert canonical_hash(other) == canonical_hash(graph)
    assert canonical_hash(graph_from_proto(graph_to_proto(other))) == canonical_hash(graph)


@given(graph=graphs(), units=st.integers(4, 9))
def test_the_hash_tells_networks_apart(graph: Graph, units: int) -> None:
    last = replace(graph.nodes[-1], attributes={"units": units})
    assert canonical_hash(replace(graph, nodes=(*graph.nodes[:-1], last))) != canonical_hash(graph)


@given(case=cases(), seed=st.integers(0, 2**32 - 1))
def test_order_does_not_change_the_function(case: Case, seed: int) -> None:
    other = reordered(case.graph, np.random.default_rng(seed))
    np.testing.assert_allclose(run(other, case.weights, case.x), run(case.graph, case.weights, case.x))


@given(graph=graphs())
def test_parameters_are_what_initialise_makes(graph: Graph) -> None:
    made = initialise(graph, np.random.default_rng(0))
    wanted = parameters(graph)
    assert {key: value.shape for key, value in made.items()} == {key: p.shape for key, p in wanted.items()}
    assert cost(graph).params == sum(made[key].size for key, p in wanted.items() if p.trainable)


def test_the_cost_of_a_known_network() -> None:
    price = cost(GOOD)
    assert price.params == 4 * 9 + 4 * 10 + 10
    assert price.flops >= 2 * 4 * 9 * 64 + 2 * 4 * 10
    assert price.activation_bytes == 4 * (64 + 4 * 64 + 4 + 10)


BAD = {
    "UNKNOWN_OP": (chain(Node("a", "convolve", ("image",))), "a"),
    "BAD_ATTRIBUTE": (chain(Node("a", "conv", ("image",), {"channels": 0, "kernel": 3})), "a"),
    "BAD_ARITY": (chain(Node("a", "add", ("image",))), "a"),
    "UNKNOWN_INPUT": (chain(Node("a", "identity", ("b",)), Node("b", "identity", ("a",))), "a"),
    "BAD_SHAPE": (chain(Node("a", "linear", ("image",), {"units": 10})), "a"),
    "DUPLICATE_NAME": (chain(Node("a", "identity", ("image",)), Node("a", "identity", ("image",))), "a"),
    "BAD_OUTPUT": (chain(Node("a", "identity", ("image",))), "a"),
    "DEAD_NODE": (chain(Node("dead", "identity", ("image",)), *GOOD.nodes), "dead"),
    "BAD_NAME": (chain(Node("", "identity", ("image",))), ""),
    "TOO_LARGE": (
        chain(Node("a", "flatten", ("image",)), Node("b", "linear", ("a",), {"units": 100_000_000})),
        "b",
    ),
}


@pytest.mark.parametrize("rule", BAD)
def test_a_fault_is_told_with_node_and_rule(rule: str) -> None:
    graph, node = BAD[rule]
    with pytest.raises(InvalidGraph) as caught:
        validate(graph, classes=10)
    assert (caught.value.rule, caught.value.node) == (rule, node)


def test_the_problem_fixes_input_and_classes() -> None:
    validate(GOOD, classes=10, input=INPUT)
    with pytest.raises(InvalidGraph, match="10 logits for 11"):
        validate(GOOD, classes=11)
    with pytest.raises(InvalidGraph, match="input"):
        validate(GOOD, classes=10, input=replace(INPUT, shape=(8, 9, 1)))


def test_nonsense_on_the_wire_is_refused() -> None:
    message = graph_to_proto(GOOD)
    message.nodes[0].attributes["channels"].ClearField("value")
    with pytest.raises(InvalidGraph, match="channels has no value"):
        graph_from_proto(message)
