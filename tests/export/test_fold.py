"""Batch norm folded into the layer before it computes the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from neunets.cost import parameters
from neunets.graph import AttributeValue, DataType, Graph, Input, Node
from neunets.reference import initialise, run
from neunets.shapes import infer_shapes
from neunets_engine.export.fold import OUTER, fold_batch_norm
from strategies import Case, cases

INPUT = Input("image", (5, 4, 2), DataType.UINT8, (100.0, 120.0), (50.0, 60.0))
Weights = dict[str, np.ndarray]


def head(*nodes: Node) -> Graph:
    pool = Node("pool", "global_pool", (nodes[-1].name,), {"function": "avg"})
    return Graph(INPUT, (*nodes, pool, Node("logits", "linear", ("pool",), {"units": 3})), "logits")


def layer(name: str, source: str, op: str = "conv", **attributes: AttributeValue) -> Node:
    return Node(name, op, (source,), {"channels": 4, "kernel": 3, **attributes})


def norm(name: str, source: str) -> Node:
    return Node(name, "batch_norm", (source,))


def trained(graph: Graph, seed: int = 0) -> Weights:
    """With statistics that matter."""
    rng = np.random.default_rng(seed)
    return {key: rng.uniform(0.5, 2.0, value.shape).astype("f4") for key, value in initialise(graph, rng).items()}


def same(left: np.ndarray, right: np.ndarray) -> None:
    np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-4 * np.abs(right).max())


@given(case=cases())
@settings(max_examples=150)
def test_folding_keeps_the_function(case: Case) -> None:
    graph, weights = fold_batch_norm(case.graph, case.weights)
    same(run(graph, weights, case.x), run(case.graph, case.weights, case.x))


@given(case=cases())
def test_folding_keeps_names_and_shapes_and_leaves_the_weights_of_the_new_graph(case: Case) -> None:
    before = {key: value.copy() for key, value in case.weights.items()}
    graph, weights = fold_batch_norm(case.graph, case.weights)
    assert infer_shapes(graph) == infer_shapes(case.graph)
    assert {key: value.shape for key, value in weights.items()} == {k: p.shape for k, p in parameters(graph).items()}
    assert all(value.dtype == np.float32 for value in weights.values())
    assert case.weights.keys() == before.keys()
    assert all((case.weights[key] == value).all() for key, value in before.items())


@given(case=cases())
def test_what_could_be_folded_is(case: Case) -> None:
    graph, _ = fold_batch_norm(case.graph, case.weights)
    operators = {node.name: node.op for node in graph.nodes}
    read = [name for node in graph.nodes for name in node.inputs]
    for node in graph.nodes:
        if node.op == "batch_norm":
            source = node.inputs[0]
            assert operators.get(source) not in OUTER or read.count(source) > 1


def test_a_layer_that_another_node_reads_is_left_alone() -> None:
    graph = head(layer("a", "image"), norm("b", "a"), Node("sum", "add", ("a", "b")))
    assert fold_batch_norm(graph, trained(graph))[0] == graph


def test_of_two_norms_in_a_row_the_first_is_folded() -> None:
    graph = head(layer("a", "image"), norm("b", "a"), norm("c", "b"))
    weights = trained(graph)
    folded, rest = fold_batch_norm(graph, weights)
    assert [node.op for node in folded.nodes[:3]] == ["conv", "identity", "batch_norm"]
    x = np.random.default_rng(1).integers(0, 256, (2, *INPUT.shape), dtype=np.uint8)
    same(run(folded, rest, x), run(graph, weights, x))


def test_a_small_variance_is_folded_exactly_enough() -> None:
    graph = head(layer("a", "image", "separable_conv", bias=True), norm("b", "a"))
    weights = trained(graph) | {"b.running_var": np.full(4, 1e-9, np.float32)}
    x = np.random.default_rng(1).integers(0, 256, (2, *INPUT.shape), dtype=np.uint8)
    same(run(*fold_batch_norm(graph, weights), x), run(graph, weights, x))
