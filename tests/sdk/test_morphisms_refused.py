"""What a morphism cannot preserve, or nobody can mean, is refused by a rule with a name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from neunets.errors import InvalidGraph
from neunets.graph import AttributeValue, DataType, Graph, Input, Node
from neunets.morphisms import RULES, Branch, Deepen, InsertSkip, Widen, WidenKernel, morphism
from neunets.reference import initialise

INPUT = Input("image", (6, 6, 2), DataType.UINT8, (0.0, 0.0), (100.0, 100.0))


def conv(name: str, source: str, channels: int = 4, **attributes: AttributeValue) -> Node:
    return Node(name, "conv", (source,), {"channels": channels, "kernel": 3, **attributes})


def net(*nodes: Node) -> Graph:
    pool = Node("pool", "global_pool", (nodes[-1].name,), {"function": "avg"})
    return Graph(INPUT, (*nodes, pool, Node("logits", "linear", ("pool",), {"units": 3})), "logits")


CHAIN = net(conv("conv", "image"), Node("relu", "activation", ("conv",), {"function": "relu"}))
GROUPED = net(conv("conv", "image"), conv("grouped", "conv", 8, groups=2))
HALVES = net(
    conv("left", "image"),
    conv("right", "image"),
    Node("both", "concat", ("left", "right")),
    conv("c", "both", groups=2),
)
ON_INPUT = net(conv("conv", "image", 2), Node("sum", "add", ("conv", "image")))
LOGITS = Graph(
    INPUT,
    (
        Node("flat", "flatten", ("image",)),
        Node("one", "linear", ("flat",), {"units": 3}),
        Node("other", "linear", ("flat",), {"units": 3}),
        Node("sum", "add", ("one", "other")),
    ),
    "sum",
)
MISALIGNED = Graph(
    INPUT,
    (
        conv("conv", "image", 2),
        Node("flat", "flatten", ("conv",)),
        Node("linear", "linear", ("flat",), {"units": 72}),
        Node("sum", "add", ("flat", "linear")),
        Node("logits", "linear", ("sum",), {"units": 3}),
    ),
    "logits",
)
CROSSED = net(
    conv("conv", "image"),
    conv("a", "image", 2),
    conv("b", "image", 2),
    Node("twice", "concat", ("a", "a")),
    Node("sum", "add", ("conv", "twice")),
    Node("last", "add", ("sum", "conv")),
    conv("c", "b"),
    Node("end", "add", ("last", "c")),
)
WEIGHTS = initialise(CHAIN, np.random.default_rng(0))
BATCH = np.zeros((2, *INPUT.shape), np.uint8)

REFUSED: dict[str, Callable[[], object]] = {
    "UNKNOWN_MORPHISM": lambda: morphism("narrow", "conv", {}),
    "BAD_ARGUMENT": lambda: morphism("widen", "conv", {}),
    "NO_NODE": lambda: Widen("absent", 8).apply(CHAIN),
    "BAD_WEIGHTS": lambda: Widen("conv", 8).weights(CHAIN, {**WEIGHTS, "conv.bias": np.zeros(4, np.float32)}),
    "BAD_BATCH": lambda: Deepen("relu", norm=True).weights(CHAIN, WEIGHTS, BATCH[:0]),
    "WIDEN_OP": lambda: Widen("relu", 8).apply(CHAIN),
    "WIDEN_WIDTH": lambda: Widen("conv", 4).apply(CHAIN),
    "WIDEN_STEP": lambda: Widen("grouped", 9).apply(GROUPED),
    "WIDEN_INPUT": lambda: Widen("conv", 3).apply(ON_INPUT),
    "WIDEN_OUTPUT": lambda: Widen("one", 4).apply(LOGITS),
    "WIDEN_GROUPS": lambda: Widen("left", 6).apply(HALVES),
    "WIDEN_ALIGNMENT": lambda: Widen("conv", 3).apply(MISALIGNED),
    "AT_OUTPUT": lambda: Deepen("logits", "linear", function="none").apply(CHAIN),
    "FUNCTION_CHANGES": lambda: Deepen("conv").apply(CHAIN),
    "LAYER_SHAPE": lambda: Deepen("pool", "conv").apply(CHAIN),
    "KERNEL_UNSEEN": lambda: WidenKernel("conv", 13).apply(CHAIN),
    "KERNEL_OP": lambda: WidenKernel("relu", 5).apply(CHAIN),
    "KERNEL_SIZE": lambda: WidenKernel("conv", 3).apply(CHAIN),
    "KERNEL_PADDING": lambda: WidenKernel("conv", 5).apply(net(conv("conv", "image", padding="valid"))),
    "KERNEL_OFFSET": lambda: WidenKernel("conv", 4).apply(net(conv("conv", "image", dilation=2))),
    "BRANCH_OP": lambda: Branch("logits").apply(CHAIN),
    "BRANCH_GROUPS": lambda: Branch("grouped").apply(GROUPED),
    "BRANCH_AT": lambda: Branch("conv", 4).apply(CHAIN),
}
ALSO_REFUSED: list[tuple[str, Callable[[], object]]] = [
    ("BAD_ARGUMENT", lambda: morphism("widen", "conv", {"width": 8, "wide": 1})),
    ("BAD_ARGUMENT", lambda: Widen("conv", True)),
    ("BAD_ARGUMENT", lambda: Widen("conv", 8, noise=float("nan"))),
    ("BAD_ARGUMENT", lambda: Widen("conv", 8, seed=-1)),
    ("BAD_ARGUMENT", lambda: Deepen("relu", function="silu")),
    ("BAD_BATCH", lambda: Deepen("relu", norm=True).weights(CHAIN, WEIGHTS, BATCH[:, 1:])),
    ("WIDEN_OUTPUT", lambda: Widen("logits", 4).apply(CHAIN)),
    ("WIDEN_INPUT", lambda: Widen("depthwise", 4).apply(net(conv("depthwise", "image", 2, groups=2)))),
    ("WIDEN_ALIGNMENT", lambda: Widen("linear", 108).apply(MISALIGNED)),
    ("WIDEN_ALIGNMENT", lambda: Widen("conv", 6).apply(CROSSED)),
    ("AT_OUTPUT", lambda: InsertSkip("logits", "linear", function="none").apply(CHAIN)),
    ("FUNCTION_CHANGES", lambda: Deepen("image").apply(CHAIN)),
    ("FUNCTION_CHANGES", lambda: InsertSkip("conv").apply(CHAIN)),
    ("FUNCTION_CHANGES", lambda: morphism("branch_and_insert", "conv", {}).apply(net(conv("conv", "image")))),
    ("LAYER_SHAPE", lambda: Deepen("relu", "linear").apply(CHAIN)),
    ("KERNEL_UNSEEN", lambda: InsertSkip("relu", kernel=13).apply(CHAIN)),
    ("KERNEL_PADDING", lambda: WidenKernel("conv", 7).apply(net(conv("conv", "image", padding="valid")))),
    ("BRANCH_AT", lambda: Branch("conv").apply(net(conv("conv", "image", 1)))),
    ("BRANCH_GROUPS", lambda: Branch("depthwise").apply(net(conv("depthwise", "image", 2, groups=2)))),
    ("TOO_LARGE", lambda: Widen("conv", 1 << 20).apply(net(conv("conv", "image"), conv("next", "conv", 512)))),
]


@pytest.mark.parametrize("rule", REFUSED)
def test_a_precondition_is_told_by_its_rule(rule: str) -> None:
    with pytest.raises(InvalidGraph) as caught:
        REFUSED[rule]()
    assert caught.value.rule == rule


@pytest.mark.parametrize(("rule", "make"), ALSO_REFUSED)
def test_each_way_to_miss_a_precondition_is_refused(rule: str, make: Callable[[], object]) -> None:
    with pytest.raises(InvalidGraph) as caught:
        make()
    assert caught.value.rule == rule


def test_every_rule_has_a_case() -> None:
    assert REFUSED.keys() == RULES.keys()


def test_the_culprit_is_named() -> None:
    with pytest.raises(InvalidGraph, match="conv: it is 4 wide already") as caught:
        Widen("conv", 4).apply(CHAIN)
    assert caught.value.node == "conv"
