"""Whose channels grow with whose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.graph import AttributeValue, DataType, Graph, Input, Node
from neunets.morphisms import Widen, width_step
from neunets.reference import initialise, run
from neunets.shapes import infer_shapes

INPUT = Input("image", (4, 4, 1), DataType.UINT8, (100.0,), (50.0,))


def conv(name: str, source: str, channels: int, **attributes: AttributeValue) -> Node:
    return Node(name, "conv", (source,), {"channels": channels, "kernel": 3, **attributes})


def net(*nodes: Node) -> Graph:
    pool = Node("pool", "global_pool", (nodes[-1].name,), {"function": "max"})
    return Graph(INPUT, (*nodes, pool, Node("logits", "linear", ("pool",), {"units": 3})), "logits")


def widths(graph: Graph) -> dict[str, int]:
    shapes = infer_shapes(graph)
    return {node.name: shapes[node.name][0] for node in graph.nodes if node.op in ("conv", "separable_conv", "linear")}


TRUNK = net(
    conv("stem", "image", 4),
    conv("a1", "stem", 6),
    conv("a2", "a1", 4),
    Node("a", "add", ("stem", "a2")),
    conv("b1", "a", 5),
    conv("b2", "b1", 4),
    Node("b", "add", ("a", "b2")),
)
# Two parts of 2 and 3 channels, tied to one layer of 5.
PARTS = net(
    conv("two", "image", 2),
    conv("three", "image", 3),
    Node("parts", "concat", ("two", "three")),
    conv("five", "image", 5),
    Node("sum", "add", ("parts", "five")),
)
GROUPS = net(conv("conv", "image", 4), Node("norm", "batch_norm", ("conv",)), conv("grouped", "norm", 6, groups=2))
DEPTHWISE = net(conv("conv", "image", 3), conv("depthwise", "conv", 6, groups=3), conv("point", "depthwise", 2))


@pytest.mark.parametrize("node", ["stem", "a2", "b2"])
def test_all_that_is_added_to_a_trunk_grows_with_it(node: str) -> None:
    grown = widths(Widen(node, 7).apply(TRUNK))
    assert grown == {"stem": 7, "a1": 6, "a2": 7, "b1": 5, "b2": 7, "logits": 3}


def test_inside_a_block_only_one_layer_grows() -> None:
    assert widths(Widen("a1", 9).apply(TRUNK)) == widths(TRUNK) | {"a1": 9}


def test_a_part_of_a_concatenation_takes_its_part_of_a_layer_along() -> None:
    assert widths(Widen("two", 4).apply(PARTS)) == {"two": 4, "three": 3, "five": 7, "logits": 3}


@given(seed=st.integers(0, 2**63 - 1))
def test_a_layer_takes_the_parts_along_that_were_drawn(seed: int) -> None:
    grown = widths(Widen("five", 8, seed).apply(PARTS))
    assert grown["five"] == grown["two"] + grown["three"] == 8
    assert grown["two"] >= 2
    assert grown["three"] >= 3


@pytest.mark.parametrize(("graph", "node", "step"), [(GROUPS, "conv", 2), (GROUPS, "grouped", 2), (TRUNK, "stem", 1)])
def test_groups_grow_alike(graph: Graph, node: str, step: int) -> None:
    assert width_step(graph, node) == step
    assert widths(Widen(node, widths(graph)[node] + step).apply(graph))[node] == widths(graph)[node] + step


def test_a_depthwise_convolution_grows_with_what_it_reads() -> None:
    assert widths(Widen("conv", 5).apply(DEPTHWISE)) == {"conv": 5, "depthwise": 10, "point": 2, "logits": 3}
    assert Widen("depthwise", 10).apply(DEPTHWISE) == Widen("conv", 5).apply(DEPTHWISE)
    assert width_step(DEPTHWISE, "depthwise") == 2


def test_new_channels_copy_old_ones_and_readers_share_them_out() -> None:
    weights = initialise(GROUPS, np.random.default_rng(0))
    wide = Widen("grouped", 10, seed=3).weights(GROUPS, weights)
    rows = [np.flatnonzero((weights["grouped.weight"] == row).all(axis=(1, 2, 3))) for row in wide["grouped.weight"]]
    sources = np.concatenate(rows)
    assert len(sources) == 10
    assert (sources // 3 == np.arange(10) // 5).all()  # in its own group
    total = np.zeros_like(weights["logits.weight"])
    np.add.at(total.T, sources, wide["logits.weight"].T)
    np.testing.assert_allclose(total, weights["logits.weight"], rtol=1e-6)


@given(noise=st.floats(1e-4, 1e-2), seed=st.integers(0, 2**63 - 1))
def test_noise_tells_copies_apart_and_changes_the_function_by_its_size(noise: float, seed: int) -> None:
    weights = {key: value.astype(np.float64) for key, value in initialise(TRUNK, np.random.default_rng(0)).items()}
    change = Widen("a1", 12, seed, noise)
    wide = change.weights(TRUNK, weights)
    assert (wide["a1.weight"][:6] == weights["a1.weight"]).all()
    assert len(np.unique(wide["a1.weight"], axis=0)) == 12
    x = np.random.default_rng(1).integers(0, 256, (4, *INPUT.shape), dtype=np.uint8)
    before, after = run(TRUNK, weights, x), run(change.apply(TRUNK), wide, x)
    assert 0.0 < np.abs(after - before).max() < 10.0 * noise * np.abs(before).max()


def test_another_seed_copies_other_channels() -> None:
    weights = initialise(TRUNK, np.random.default_rng(0))
    one, other = (Widen("a1", 12, seed).weights(TRUNK, weights)["a1.weight"] for seed in (0, 1))
    assert (one != other).any()
