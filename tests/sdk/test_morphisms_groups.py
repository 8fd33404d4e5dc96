"""Groups, and channels that cannot grow, are heeded wherever sums and concatenations carry them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.errors import InvalidGraph
from neunets.graph import AttributeValue, DataType, Graph, Input, Node
from neunets.morphisms import Widen, width_step
from neunets.reference import initialise, run
from neunets.shapes import infer_shapes

INPUT = Input("image", (4, 3, 2), DataType.UINT8, (100.0, 90.0), (50.0, 60.0))
seeds = st.integers(0, 2**63 - 1)


def conv(name: str, source: str, channels: int, **attributes: AttributeValue) -> Node:
    return Node(name, "conv", (source,), {"channels": channels, "kernel": 3, **attributes})


def add(name: str, *sources: str) -> Node:
    return Node(name, "add", sources)


def concat(name: str, *sources: str) -> Node:
    return Node(name, "concat", sources)


def net(*nodes: Node) -> Graph:
    """All that nobody reads goes into the logits."""
    read, mean = {name for node in nodes for name in node.inputs}, {"function": "avg"}
    ends = [Node(f"{node.name}_pool", "global_pool", (node.name,), mean) for node in nodes if node.name not in read]
    joined = [concat("ends", *(end.name for end in ends))] if len(ends) > 1 else []
    logits = Node("logits", "linear", ([*ends, *joined][-1].name,), {"units": 3})
    return Graph(INPUT, (*nodes, *ends, *joined, logits), "logits")


def widths(graph: Graph) -> dict[str, int]:
    shapes = infer_shapes(graph)
    return {node.name: shapes[node.name][0] for node in graph.nodes if node.op == "conv"}


def assert_grows(graph: Graph, change: Widen, grown: dict[str, int]) -> None:
    """To those widths, others as they were, and the function stays."""
    weights = {key: value.astype(np.float64) for key, value in initialise(graph, np.random.default_rng(0)).items()}
    x = np.random.default_rng(1).integers(0, 256, (3, *INPUT.shape), dtype=np.uint8)
    child = change.apply(graph)
    assert widths(child) == widths(graph) | grown
    before, after = run(graph, weights, x), run(child, change.weights(graph, weights), x)
    np.testing.assert_allclose(after, before, rtol=0.0, atol=1e-10)


def rule_of(graph: Graph, change: Widen) -> str:
    """By which it is refused."""
    with pytest.raises(InvalidGraph) as caught:
        change.apply(graph)
    return caught.value.rule


# A grouped convolution reads what is widened.
READS_LAYER = net(conv("wide", "image", 4), conv("grouped", "wide", 6, groups=2))
READS_TWICE = net(conv("wide", "image", 3), concat("twice", "wide", "wide"), conv("grouped", "twice", 4, groups=2))
READS_HALVES = net(
    conv("left", "image", 4),
    conv("right", "image", 4),
    concat("both", "left", "right"),
    conv("grouped", "both", 4, groups=2),
)
# Its groups are added to two layers.
FEEDS_HALVES = net(
    conv("left", "image", 2),
    conv("right", "image", 2),
    concat("both", "left", "right"),
    conv("stem", "image", 4),
    conv("grouped", "stem", 4, groups=2),
    add("sum", "both", "grouped"),
)


@given(seed=seeds, shares=st.sampled_from((0.0, 0.7)))
def test_a_layer_grows_by_as_many_in_each_group_that_reads_it(seed: int, shares: float) -> None:
    assert width_step(READS_LAYER, "wide") == 2
    assert_grows(READS_LAYER, Widen("wide", 10, seed, shares=shares), {"wide": 10})


@given(seed=seeds, shares=st.sampled_from((0.0, 0.7)))
def test_a_layer_that_all_groups_read_grows_one_by_one(seed: int, shares: float) -> None:
    assert width_step(READS_TWICE, "wide") == 1
    assert_grows(READS_TWICE, Widen("wide", 4, seed, shares=shares), {"wide": 4})


@given(seed=seeds)
def test_groups_grow_with_the_layers_to_which_they_are_added(seed: int) -> None:
    assert_grows(FEEDS_HALVES, Widen("grouped", 8, seed), {"left": 4, "right": 4, "grouped": 8})


@pytest.mark.parametrize(
    ("graph", "node", "width", "text"),
    [
        (READS_HALVES, "left", 6, "grouped: its groups would have 6, 4 channels of both"),
        (READS_HALVES, "right", 5, "grouped: its groups would have 4, 5 channels of both"),
        (FEEDS_HALVES, "left", 3, "grouped: its groups would have 3, 2 channels of grouped"),
    ],
)
def test_a_layer_that_is_in_one_group_alone_does_not_grow(graph: Graph, node: str, width: int, text: str) -> None:
    with pytest.raises(InvalidGraph, match=text) as caught:
        Widen(node, width).apply(graph)
    assert caught.value.rule == "WIDEN_GROUPS"


def test_groups_that_end_within_the_copies_of_a_channel_are_refused() -> None:
    graph = net(conv("wide", "image", 3), conv("deep", "wide", 6, groups=3), conv("grouped", "deep", 4, groups=2))
    assert rule_of(graph, Widen("wide", 4)) == "WIDEN_ALIGNMENT"
    assert_grows(graph, Widen("grouped", 6), {"grouped": 6})


# A layer whose two groups are cut up afterwards, by a sum with parts of 1, 2 and 1 channels.
CUT_GROUPS = net(
    conv("p", "image", 1),
    conv("q", "image", 2),
    conv("r", "image", 1),
    concat("parts", "p", "q", "r"),
    conv("wide", "image", 4),
    conv("grouped", "wide", 2, groups=2),
    add("sum", "wide", "parts"),
)
# Layers that are older than the groups to which a sum ties them.
JOINED_GROUPS = net(
    conv("left", "image", 2),
    conv("right", "image", 2),
    concat("both", "left", "right"),
    conv("wide", "image", 4),
    conv("grouped", "wide", 2, groups=2),
    add("sum", "both", "wide"),
)


@given(seed=seeds)
def test_parts_of_a_group_that_was_cut_still_grow_alike(seed: int) -> None:
    assert width_step(CUT_GROUPS, "wide") == 4
    assert_grows(CUT_GROUPS, Widen("wide", 8, seed), {"p": 2, "q": 4, "r": 2, "wide": 8})


@given(seed=seeds)
def test_what_is_tied_to_groups_grows_like_them(seed: int) -> None:
    assert width_step(JOINED_GROUPS, "wide") == 2
    assert_grows(JOINED_GROUPS, Widen("wide", 6, seed), {"left": 3, "right": 3, "wide": 6})
    assert rule_of(JOINED_GROUPS, Widen("left", 3, seed)) == "WIDEN_GROUPS"


# The input's two channels are cut, and tied to a layer each.
CUT_INPUT = net(conv("p", "image", 1), conv("q", "image", 1), concat("parts", "p", "q"), add("sum", "image", "parts"))
# The input is one of the parts of what a layer is added to.
PART_OF_INPUT = net(
    conv("free", "image", 3),
    concat("parts", "image", "free"),
    conv("wide", "image", 5),
    add("sum", "parts", "wide"),
)
# Two maps of other forms bind each other; one of them is then tied to a layer that is older.
BOUND_LATE = Graph(
    INPUT,
    (
        conv("old", "image", 2),
        conv("bound", "image", 2),
        Node("flat", "flatten", ("bound",)),
        Node("linear", "linear", ("flat",), {"units": 24}),
        add("misfit", "flat", "linear"),
        add("sum", "old", "bound"),
        Node("end", "flatten", ("sum",)),
        concat("ends", "misfit", "end"),
        Node("logits", "linear", ("ends",), {"units": 3}),
    ),
    "logits",
)


@pytest.mark.parametrize("node", ["p", "q"])
def test_what_is_tied_to_a_part_of_the_input_does_not_grow(node: str) -> None:
    assert rule_of(CUT_INPUT, Widen(node, 2)) == "WIDEN_INPUT"


def test_of_a_concatenation_only_the_input_is_bound() -> None:
    assert rule_of(PART_OF_INPUT, Widen("wide", 6)) == "WIDEN_INPUT"
    assert_grows(PART_OF_INPUT, Widen("free", 4), {"free": 4, "wide": 6})


@pytest.mark.parametrize("node", ["bound", "linear", "old"])
def test_what_is_bound_binds_whatever_it_is_added_to(node: str) -> None:
    assert rule_of(BOUND_LATE, Widen(node, 48)) == "WIDEN_ALIGNMENT"


def test_all_terms_of_a_sum_grow_together() -> None:
    terms = [conv(name, "image", 3) for name in ("a", "b", "c")]
    assert_grows(net(*terms, add("sum", "a", "b", "c")), Widen("b", 5), {"a": 5, "b": 5, "c": 5})


def test_the_input_is_the_reason_where_there_are_two() -> None:
    nodes = [replace(node, inputs=("image", "bound")) if node.name == "sum" else node for node in BOUND_LATE.nodes]
    graph = replace(BOUND_LATE, nodes=tuple(nodes))
    assert [rule_of(graph, Widen(node, 48)) for node in ("bound", "linear")] == ["WIDEN_INPUT", "WIDEN_ALIGNMENT"]


def test_the_first_reason_is_told() -> None:
    graph = Graph(
        INPUT,
        (
            Node("flat", "flatten", ("image",)),
            Node("linear", "linear", ("flat",), {"units": 24}),
            add("sum", "flat", "linear"),
            Node("logits", "linear", ("sum",), {"units": 24}),
            add("last", "logits", "linear"),
        ),
        "last",
    )
    assert rule_of(graph, Widen("linear", 25)) == "WIDEN_ALIGNMENT"
    assert rule_of(graph, Widen("logits", 25)) == "WIDEN_ALIGNMENT"


def test_parts_of_unequal_repetition_are_no_layer_to_widen() -> None:
    graph = net(
        conv("one", "image", 2),
        conv("two", "image", 2),
        conv("deep", "two", 4, groups=2),
        concat("both", "one", "deep"),
        conv("reads", "both", 6, groups=6),
    )
    assert rule_of(graph, Widen("reads", 7)) == "WIDEN_ALIGNMENT"
    assert_grows(graph, Widen("two", 3), {"two": 3, "deep": 6, "reads": 8})
