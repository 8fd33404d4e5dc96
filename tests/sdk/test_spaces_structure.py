"""What a configuration says is what the network has."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neunets.draws import generator
from neunets.graph import DataType, Graph, Input, Node
from neunets.shapes import infer_shapes
from neunets.spaces import BranchedCells, Configuration, Motifs, PlainChains, SkipChains, Space, Value
from neunets.validate import validate

SEEDS = st.integers(0, 2**64 - 1)
IMAGE = Input("image", (32, 32, 3), DataType.UINT8, (0.0,) * 3, (1.0,) * 3)
SEQUENCE = Input("sequence", (64, 2), DataType.FLOAT32, (0.0,) * 2, (1.0,) * 2)
# Of the best cells that ENAS has published: (input, operator, input, operator) of each node.
ENAS = {
    "normal": "0 2 0 0 0 4 0 1 0 4 1 1 1 0 0 1 0 2 1 1",
    "reduction": "1 0 1 0 0 3 0 2 1 1 3 1 1 0 0 4 0 3 1 1",
}
ENAS_OPERATORS = ("separable_conv3", "separable_conv5", "avg_pool3", "max_pool3", "identity")
# The best cell of Liu et al., arXiv:1711.00436, as NASLib has it, with the motifs that it uses.
LIU = {
    "motif1": "12 M 13 C 14 S 23 D 24 C 34 M",
    "motif3": "12 S 13 D 14 S 23 S 24 I 34 A",
    "motif4": "12 A 13 S 14 I 23 S 24 M 34 A",
    "motif5": "12 I 13 S 14 S 23 I 24 I 34 S",
    "cell": "12 m5 13 m3 14 m3 15 m4 23 m3 24 m1 25 m5 34 m3 35 m5 45 m5",
}
LIU_OPERATORS = {
    "M": "max_pool3", "A": "avg_pool3", "C": "conv1", "D": "depthwise_conv3", "S": "separable_conv3", "I": "identity"
}  # fmt: skip


def made(space: Space, values: Mapping[str, Value]) -> Configuration:
    """With the first value of what is not given."""
    first = {entry.name: entry.values[0] for entry in space.parameters}
    configuration = space.parameters.completed({**first, **values}, generator(0, 0))
    assert configuration.keys() >= values.keys()
    return configuration


def network(space: Space, **values: Value) -> dict[str, Node]:
    """Nodes by name; `a__b` stands for `a/b`."""
    given = {name.replace("__", "/"): value for name, value in values.items()}
    graph = space.graph(made(space, given))
    validate(graph)
    return {node.name: node for node in graph.nodes}


def of_enas(nodes: int = 5) -> dict[str, Value]:
    values: dict[str, Value] = {"filters": 16, "stem_pools": 0, "cells": 1}
    for kind, text in ENAS.items():
        numbers = [int(number) for number in text.split()]
        for node in range(nodes):
            for side, (source, operator) in zip(
                ("left", "right"), (numbers[4 * node : 4 * node + 2], numbers[4 * node + 2 : 4 * node + 4]), strict=True
            ):
                values[f"{kind}/node{node + 1}/{side}/input"] = source
                values[f"{kind}/node{node + 1}/{side}/operator"] = ENAS_OPERATORS[operator]
    return values


def of_liu() -> dict[str, Value]:
    values: dict[str, Value] = {"filters": 16, "stem_pools": 0}
    for name, text in LIU.items():
        words = text.split()
        for edge, operator in zip(words[::2], words[1::2], strict=True):
            value = LIU_OPERATORS.get(operator, f"motif{operator[1:]}")
            values[f"{name}/edge{edge}"] = value
    return values


def shapes_of(space: Space, values: Mapping[str, Value]) -> dict[str, tuple[int, ...]]:
    graph: Graph = space.graph(made(space, values))
    validate(graph)
    return infer_shapes(graph)


@pytest.mark.parametrize("source", [IMAGE, SEQUENCE])
def test_a_component_pools_behind_its_first_convolution_or_its_last(source: Input) -> None:
    space = PlainChains(source, 10)
    sizes = {"components": 2, "component1__layers": 2, "component2__layers": 3}
    late, early = network(space, **sizes), network(space, **sizes, pools_early=True)
    assert [name for name in late if name.endswith("/pool")] == [
        "component1/layer2/pool", "component2/layer3/pool", "head/pool"
    ]  # fmt: skip
    assert [name for name in early if name.endswith("/pool")] == [
        "component1/layer1/pool", "component2/layer1/pool", "head/pool"
    ]  # fmt: skip
    assert late["component1/layer2/norm"].inputs == ("component1/layer2/pool",)


def test_a_component_that_is_too_small_to_be_halved_has_no_pool() -> None:
    found = network(PlainChains(IMAGE, 10), components=4)
    assert [name for name in found if name.endswith("/pool")] == [
        "component1/layer1/pool", "component2/layer1/pool", "component3/layer1/pool", "head/pool"
    ]  # fmt: skip


def test_layers_have_the_kernel_kind_and_width_of_the_configuration() -> None:
    found = network(
        PlainChains(IMAGE, 10),
        filters=32,
        growth=2.0,
        activation="silu",
        component1__layers=2,
        component1__layer2__kernel=5,
        component1__layer2__kind="separable_conv",
        component1__layer2__width=1.5,
        component2__pool="avg_pool",
        component2__layer1__kind="conv",
        component2__layer1__kernel=3,
        component2__layer1__width=1.0,
    )
    second, third = found["component1/layer2/conv"], found["component2/layer1/conv"]
    assert (second.op, dict(second.attributes)) == ("separable_conv", {"channels": 48, "kernel": 5})
    assert (third.op, dict(third.attributes)) == ("conv", {"channels": 64, "kernel": 3})
    assert found["component2/layer1/pool"].op == "avg_pool"
    assert found["component1/layer2/activation"].attributes == {"function": "silu"}


@pytest.mark.parametrize("source", [IMAGE, SEQUENCE])
def test_a_flattened_map_has_at_most_16_positions(source: Input) -> None:
    shapes = shapes_of(PlainChains(source, 10), {"head": "flatten", "filters": 16, "dropout": 0.25})
    channels = shapes["component2/layer1/activation"][0]
    assert shapes["head/flatten"][0] <= 16 * channels
    assert shapes["head/dropout"] == shapes["head/flatten"]


def test_a_head_without_dropout_is_a_mean_and_a_linear_layer() -> None:
    assert [name for name in network(PlainChains(IMAGE, 10)) if name.startswith("head/")] == [
        "head/pool",
        "head/logits",
    ]


def test_merged_layers_of_one_width_are_added_before_the_activation() -> None:
    found = network(
        SkipChains(IMAGE, 10), component1__layers=3, component1__layer3__skip1=True, component1__layer3__skip2=True
    )
    assert found["component1/layer3/sum"].inputs == (
        "component1/layer3/norm", "component1/layer1/activation", "component1/layer2/activation"
    )  # fmt: skip
    assert found["component1/layer3/pool"].inputs == ("component1/layer3/sum",)
    assert found["component1/layer3/activation"].inputs == ("component1/layer3/pool",)


def test_merged_layers_of_other_widths_are_concatenated_and_brought_back() -> None:
    found = network(
        SkipChains(IMAGE, 10),
        component1__layers=2,
        component1__layer1__width=0.5,
        component1__layer2__width=1.0,
        component1__layer2__skip1=True,
    )
    assert found["component1/layer2/concat"].inputs == ("component1/layer2/activation", "component1/layer1/activation")
    mix = found["component1/layer2/mix/conv"]
    assert mix.attributes == {"channels": found["component1/layer2/conv"].attributes["channels"], "kernel": 1}
    assert found["component1/layer2/mix/norm"].inputs == ("component1/layer2/mix/pool",)


@settings(max_examples=30)
@given(seed=SEEDS)
def test_without_skips_both_chains_are_one_space(seed: int) -> None:
    skips, plain = SkipChains(IMAGE, 10, components=4), PlainChains(IMAGE, 10)
    configuration = skips.parameters.sample(generator(seed, 0))
    without = {name: value for name, value in configuration.items() if "/skip" not in name}
    off = {name: value if name in without else False for name, value in configuration.items()}
    assert skips.graph(off) == plain.graph(without)


def test_the_published_cells_of_enas_are_in_the_space_of_branched_cells() -> None:
    space = BranchedCells(IMAGE, 10, nodes=5)
    found = {node.name: node for node in space.graph(made(space, of_enas())).nodes}
    assert found["cell1/node1/left/pool"].op == "avg_pool"
    assert found["cell1/node1/right/conv"].attributes == {"channels": 16, "kernel": 3}
    # No node reads another one in the normal cell; in the reduction cell the third reads the second.
    assert len(found["cell1/concat"].inputs) == 5
    assert len(found["cell2/concat"].inputs) == 4


def test_a_reduction_halves_the_map_and_doubles_the_filters() -> None:
    shapes = shapes_of(BranchedCells(IMAGE, 10, nodes=5), of_enas())
    assert shapes["cell1/concat"] == (80, 32, 32)
    assert shapes["cell2/concat"] == (128, 16, 16)
    assert shapes["cell3/input0/conv"] == shapes["cell3/input1/conv"] == (32, 16, 16)
    assert shapes["cell5/concat"][1:] == (8, 8)


def test_a_node_of_pools_and_identities_needs_no_rectifier() -> None:
    node = {"normal__node1__left__operator": "max_pool3", "normal__node1__right__operator": "identity"}
    found = network(BranchedCells(IMAGE, 10), **node)
    assert "cell1/node1/activation" not in found
    assert "cell1/node1/activation" in network(
        BranchedCells(IMAGE, 10), **{**node, "normal__node1__right__operator": "separable_conv5"}
    )


def test_inputs_that_no_node_reads_are_left_out() -> None:
    values = {f"{kind}__node1__{side}__input": 1 for kind in ("normal", "reduction") for side in ("left", "right")}
    assert not any("/input0/" in name for name in network(BranchedCells(IMAGE, 10), **values))


def test_cells_that_no_other_cell_reads_are_left_out() -> None:
    values = {f"{kind}__node1__{side}__input": 0 for kind in ("normal", "reduction") for side in ("left", "right")}
    found = network(BranchedCells(IMAGE, 10), **values)
    assert {name.partition("/")[0] for name in found} == {"stem1", "cell1", "cell3", "cell5", "head"}


@pytest.mark.parametrize(("side", "pools"), [(8, {0}), (16, {0}), (32, {0, 1}), (64, {1, 2}), (224, {3, 4})])
def test_stems_pool_until_cells_see_a_map_of_about_32_pixels_a_side(side: int, pools: set[int]) -> None:
    source = Input("image", (side, side, 1), DataType.UINT8, (0.0,), (1.0,))
    for space in (BranchedCells(source, 10), Motifs(source, 10)):
        (entry,) = (entry for entry in space.parameters if entry.name == "stem_pools")
        assert {*entry.values} == pools
        for number in entry.values:
            found = network(space, stem_pools=number)
            assert sum(name.startswith("stem") and name.endswith("/pool") for name in found) == number


def test_the_published_cell_of_liu_is_in_the_space_of_motifs() -> None:
    space = Motifs(IMAGE, 10)
    found = {node.name: node for node in space.graph(made(space, of_liu())).nodes}
    assert len(found["cell1/concat"].inputs) == 4
    assert found["cell1/edge13/motif3/edge12/conv"].op == "separable_conv"
    assert found["cell1/edge15/motif4/edge12/pool"].op == "avg_pool"
    assert found["cell1/edge13/motif3/edge13/conv"].attributes == {"channels": 16, "kernel": 3, "groups": 16}
    assert found["cell1/edge13/motif3/node3/sum"].inputs == (
        "cell1/edge13/motif3/edge13/activation", "cell1/edge13/motif3/edge23/activation"
    )  # fmt: skip
    assert found["cell2/mix/conv"].attributes == {"channels": 32, "kernel": 1}


def test_motifs_keep_the_shape_and_reductions_double_the_filters() -> None:
    shapes = shapes_of(Motifs(IMAGE, 10), of_liu())
    assert shapes["cell1/mix/activation"] == (16, 32, 32)
    assert shapes["reduction1/conv"] == shapes["cell2/mix/activation"] == (32, 16, 16)
    assert shapes["reduction2/conv"] == shapes["cell3/mix/activation"] == (64, 8, 8)


def test_an_output_that_nothing_reaches_gets_an_identity() -> None:
    space = Motifs(IMAGE, 10)
    nothing = space.graph(space.parameters.first())
    validate(nothing, classes=10)
    assert not any("cell" in node.name for node in nothing.nodes)
    unreached = made(space, {"cell/edge12": "motif1", "motif1/edge12": "conv1", "motif1/edge14": "conv1"})
    assert space.graph(unreached) == nothing


def test_nodes_that_nothing_reaches_or_that_reach_nothing_are_dropped() -> None:
    found = network(
        Motifs(IMAGE, 10),
        cell__edge12="motif1",
        cell__edge15="motif2",
        cell__edge45="motif2",
        motif1__edge14="conv1",
        motif2__edge14="max_pool3",
    )
    assert [name for name in found if name.startswith("cell1/")] == ["cell1/edge15/motif2/edge14/pool"]


def test_only_motifs_that_the_cell_has_are_configured() -> None:
    space = Motifs(IMAGE, 10)
    configuration = made(space, {"cell/edge12": "motif2", "cell/edge25": "motif5"})
    assert {name.partition("/")[0] for name in configuration if name.startswith("motif")} == {"motif2", "motif5"}
