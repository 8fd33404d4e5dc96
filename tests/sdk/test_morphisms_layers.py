"""What new layers, larger kernels and branches look like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, reject
from hypothesis import strategies as st

from neunets.errors import InvalidGraph
from neunets.graph import AttributeValue, DataType, Graph, Input, Node
from neunets.morphisms import Branch, BranchAndInsert, Deepen, InsertSkip, Morphism, WidenKernel, derive
from neunets.morphisms.signs import nonnegative
from neunets.ops import Attribute
from neunets.reference import initialise, run

INPUT = Input("image", (6, 5, 2), DataType.UINT8, (100.0, 90.0), (50.0, 60.0))
LAYER = {"channels": 4, "kernel": 3}


def net(*nodes: Node) -> Graph:
    pool = Node("pool", "global_pool", (nodes[-1].name,), {"function": "avg"})
    return Graph(INPUT, (*nodes, pool, Node("logits", "linear", ("pool",), {"units": 3})), "logits")


BLOCK = net(
    Node("stage1/conv", "conv", ("image",), LAYER),
    Node("stage1/norm", "batch_norm", ("stage1/conv",)),
    Node("stage1/relu", "activation", ("stage1/norm",), {"function": "relu"}),
)


def operators(graph: Graph) -> dict[str, str]:
    return {node.name: node.op for node in graph.nodes}


@st.composite
def windows(draw: st.DrawFn) -> tuple[int, dict[str, AttributeValue]]:
    """An axis and a convolution that fits it."""
    size, kernel = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    padding = draw(st.sampled_from(("same", "same", "valid")))
    dilation = draw(st.integers(1, 3))
    assume(padding == "same" or (kernel - 1) * dilation < size)
    attributes = {"kernel": kernel, "stride": draw(st.integers(1, 4)), "dilation": dilation, "padding": padding}
    return size, attributes


def convolution(size: int, attributes: dict[str, AttributeValue]) -> Graph:
    """Every position of its output is a logit."""
    given_input = Input("line", (size, 1), DataType.FLOAT32, (0.0,), (1.0,))
    conv = Node("conv", "conv", ("line",), {"channels": 1, **attributes})
    return Graph(given_input, (conv, Node("flat", "flatten", ("conv",))), "flat")


def child_of(change: Morphism, graph: Graph) -> Graph:
    """Without the cases that are refused."""
    try:
        return change.apply(graph)
    except InvalidGraph:
        reject()


@given(case=windows(), more=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_a_larger_kernel_preserves_whatever_stride_dilation_and_padding_are(
    case: tuple[int, dict[str, AttributeValue]], more: int, seed: int
) -> None:
    size, attributes = case
    graph, rng = convolution(size, attributes), np.random.default_rng(seed)
    change = WidenKernel("conv", int(str(attributes["kernel"])) + more)
    child = child_of(change, graph)
    weights, x = {"conv.weight": rng.normal(size=(1, 1, attributes["kernel"]))}, rng.normal(size=(3, size, 1))
    wide = change.weights(graph, weights)
    np.testing.assert_allclose(run(child, wide, x), run(graph, weights, x), rtol=0.0, atol=1e-12)


@given(case=windows(), more=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_every_new_tap_sees_a_value(case: tuple[int, dict[str, AttributeValue]], more: int, seed: int) -> None:
    size, attributes = case
    graph, kernel = convolution(size, attributes), int(str(attributes["kernel"])) + more
    child = child_of(WidenKernel("conv", kernel), graph)
    wide = WidenKernel("conv", kernel).weights(graph, {"conv.weight": np.ones((1, 1, attributes["kernel"]))})
    x = np.random.default_rng(seed).uniform(1.0, 2.0, (1, size, 1))
    for tap in np.flatnonzero(wide["conv.weight"][0, 0] == 0.0):
        alone = np.zeros((1, 1, kernel))
        alone[0, 0, tap] = 1.0
        assert np.abs(run(child, {"conv.weight": alone}, x)).max() > 0.0


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("more", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_padding_same_without_dilation_takes_any_larger_kernel(kernel: int, more: int, stride: int) -> None:
    graph = net(Node("conv", "conv", ("image",), {"channels": 2, "kernel": kernel, "stride": stride}))
    WidenKernel("conv", kernel + more).apply(graph)


def test_the_depthwise_identity_is_one_in_the_middle_alone() -> None:
    weights = Deepen("stage1/relu", "separable_conv").weights(BLOCK, initialise(BLOCK, np.random.default_rng(0)))
    depthwise = weights["stage1/conv2.depthwise"]
    assert (depthwise[:, 0, 1, 1] == 1.0).all()
    assert depthwise.sum() == len(depthwise)


def test_names_keep_their_scope_and_do_not_grow() -> None:
    graph = derive(BLOCK, [Deepen("stage1/relu", norm=True), InsertSkip("stage1/activation2")])
    assert [name for name in operators(graph) if name not in operators(BLOCK)] == [
        "stage1/conv2",
        "stage1/norm2",
        "stage1/activation2",
        "stage1/conv3",
        "stage1/norm3",
        "stage1/add3",
        "stage1/activation3",
    ]


def test_a_branch_takes_its_norm_and_its_function_along() -> None:
    graph = Branch("stage1/conv", 1).apply(BLOCK)
    assert operators(graph) == {
        "stage1/conv_left": "conv",
        "stage1/norm_left": "batch_norm",
        "stage1/relu_left": "activation",
        "stage1/conv_right": "conv",
        "stage1/norm_right": "batch_norm",
        "stage1/relu_right": "activation",
        "stage1/concat": "concat",
        "pool": "global_pool",
        "logits": "linear",
    }
    channels = [node.attributes["channels"] for node in graph.nodes if node.op == "conv"]
    assert channels == [1, 3]


def test_what_others_read_stays_out_of_the_branches() -> None:
    nodes = (*BLOCK.nodes[:3], Node("sum", "add", ("stage1/norm", "stage1/relu")))
    graph = Branch("stage1/conv").apply(net(*nodes))
    assert [name for name in operators(graph) if name.endswith("_left")] == ["stage1/conv_left", "stage1/norm_left"]


@pytest.mark.parametrize(("side", "deep", "flat"), [("left", "left", "right"), ("right", "right", "left")])
def test_branch_and_insert_deepens_one_side(side: str, deep: str, flat: str) -> None:
    graph = BranchAndInsert("stage1/conv", side=side).apply(BLOCK)
    (new,) = (node for node in graph.nodes if node.name == "stage1/conv")
    (joined,) = (node for node in graph.nodes if node.op == "concat")
    assert new.inputs == (f"stage1/relu_{deep}",)
    assert f"stage1/relu_{flat}" in joined.inputs
    assert f"stage1/relu_{deep}" not in joined.inputs


def test_no_bias_is_put_in_front_of_a_batch_norm_that_would_take_it_away() -> None:
    for change, has_bias in (
        (Deepen("stage1/relu"), True),
        (Deepen("stage1/relu", norm=True), False),
        (Deepen("stage1/conv", function="none"), False),
        (InsertSkip("stage1/relu"), False),
    ):
        (new,) = (node for node in change.apply(BLOCK).nodes if node.name == "stage1/conv2")
        assert new.attributes["bias"] is has_bias


def test_a_new_norm_takes_its_statistics_from_the_batch() -> None:
    weights = initialise(BLOCK, np.random.default_rng(0))
    batch = np.random.default_rng(1).integers(0, 256, (20, *INPUT.shape), dtype=np.uint8)
    found = Deepen("image", norm=True, function="none").weights(BLOCK, weights, batch)
    pixels = (batch - np.array(INPUT.mean)) / INPUT.std
    np.testing.assert_allclose(found["norm.running_mean"], pixels.mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(found["norm.running_var"], pixels.var(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(found["norm.bias"], found["norm.running_mean"])
    np.testing.assert_allclose(found["norm.weight"], np.sqrt(found["norm.running_var"] + 1e-5), rtol=1e-6)


@given(noise=st.floats(1e-4, 1e-2), seed=st.integers(0, 2**63 - 1))
def test_noise_disturbs_an_identity_by_its_size(noise: float, seed: int) -> None:
    weights = initialise(BLOCK, np.random.default_rng(0))
    still, noisy = (Deepen("stage1/relu", "conv", 3, seed=seed, noise=n).weights(BLOCK, weights) for n in (0.0, noise))
    change = noisy["stage1/conv2.weight"] - still["stage1/conv2.weight"]
    assert 0.5 * noise < change.std() / still["stage1/conv2.weight"].std() < 2.0 * noise
    assert (noisy["stage1/conv2.bias"] == 0.0).all()


FUNCTIONS = ("relu", "leaky_relu", "gelu", "silu", "tanh", "sigmoid")


@given(
    chain=st.lists(st.sampled_from((*FUNCTIONS, "batch_norm", "max_pool", "dropout", "add")), min_size=1, max_size=4)
)
def test_what_counts_as_not_negative_is_not_negative(chain: list[str]) -> None:
    nodes = [Node("conv", "conv", ("image",), LAYER)]
    for number, op in enumerate(chain):
        attributes: dict[str, AttributeValue] = {"function": op} if op in FUNCTIONS else {}
        attributes |= {"max_pool": {"kernel": 1}, "dropout": {"rate": 0.5}}.get(op, {})
        inputs = (nodes[-1].name,) * (2 if op == "add" else 1)
        nodes.append(Node(f"n{number}", "activation" if op in FUNCTIONS else op, inputs, attributes))
    graph = Graph(INPUT, tuple(nodes), nodes[-1].name)
    weights = initialise(graph, np.random.default_rng(0))
    x = np.random.default_rng(1).integers(0, 256, (4, *INPUT.shape), dtype=np.uint8)
    assert nodes[-1].name not in nonnegative(graph) or run(graph, weights, x).min() >= 0.0


def test_a_linear_layer_has_no_kernel() -> None:
    rule = Deepen.arguments["kernel"]
    assert isinstance(rule, Attribute)
    assert Deepen("pool", "linear", kernel=7, function="none").apply(BLOCK) == Deepen(
        "pool", "linear", function="none"
    ).apply(BLOCK)
