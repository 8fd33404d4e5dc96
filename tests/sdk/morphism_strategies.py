"""Networks whose channels are tied together, and morphisms that suit a network."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from neunets.errors import InvalidGraph
from neunets.graph import AttributeValue, DataType, Graph, Input, Node
from neunets.morphisms import (
    MORPHISMS,
    Branch,
    BranchAndInsert,
    Deepen,
    InsertSkip,
    Morphism,
    Widen,
    WidenKernel,
    width_step,
)
from neunets.morphisms.signs import nonnegative
from neunets.ops import attributes_of
from neunets.reference import initialise
from neunets.shapes import infer_shapes
from strategies import CLASSES, Case, cases

__all__ = ["accepted", "networks", "tied"]

ANYWHERE = frozenset({"deepen", "insert_skip"})
LAYERS = frozenset({"conv", "separable_conv", "linear"})
CONVOLUTIONS = frozenset({"conv", "separable_conv"})


@st.composite
def tied(draw: st.DrawFn) -> Case:
    """Sums, concatenations, groups and flattened maps in all orders, so that index maps have something to follow."""
    graph = _Builder(draw).graph()
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = initialise(graph, rng)
    for key, value in weights.items():
        if value.ndim == 1:
            low, high = (0.5, 2.0) if key.endswith("running_var") else (-1.0, 1.0)
            weights[key] = rng.uniform(low, high, value.shape).astype(np.float32)
    x = rng.normal(size=(draw(st.integers(1, 3)), *graph.input.shape)).astype(np.float32)
    return Case(graph, weights, x)


def networks() -> st.SearchStrategy[Case]:
    return st.one_of(tied(), cases())


@st.composite
def accepted(draw: st.DrawFn, graph: Graph, kinds: Collection[str] = tuple(MORPHISMS)) -> Morphism:
    """A morphism of one of `kinds` that `graph` allows."""
    names = [graph.input.name, *(node.name for node in graph.nodes if node.name != graph.output)]
    operators = {node.name: node.op for node in graph.nodes}
    places = [(kind, name) for kind in kinds for name in names if _suits(kind, operators.get(name, "input"))]
    if not places:
        reject()
    start = draw(st.integers(0, len(places) - 1))
    for kind, name in (places * 2)[start : start + len(places)]:
        try:
            found: Morphism = draw(_morphism(kind, graph, name))
            found.apply(graph)
        except InvalidGraph:
            continue
        return found
    reject()


def _suits(kind: str, operator: str) -> bool:
    return kind in ANYWHERE or operator in (LAYERS if kind == "widen" else CONVOLUTIONS)


@st.composite
def _morphism(draw: st.DrawFn, kind: str, graph: Graph, name: str) -> Morphism:
    shape, seed = infer_shapes(graph)[name], draw(st.integers(0, 2**63 - 1))
    layer = draw(st.sampled_from(("conv", "depthwise_conv", "separable_conv"))) if len(shape) > 1 else "linear"
    kernel, norm = draw(st.integers(1, 3)), draw(st.booleans())
    functions = ("relu", "leaky_relu", "none") if name in nonnegative(graph) else ("none",)
    if kind == "widen":
        width = shape[0] + width_step(graph, name) * draw(st.integers(1, 3))
        return Widen(name, width, seed, shares=draw(st.sampled_from((0.0, 0.5, 1.0))))
    if kind == "deepen":
        return Deepen(name, layer, kernel, norm, draw(st.sampled_from(functions)), seed)
    if kind == "insert_skip":
        return InsertSkip(name, layer, kernel, draw(st.sampled_from(functions)), seed)
    if kind == "widen_kernel":
        (node,) = (node for node in graph.nodes if node.name == name)
        return WidenKernel(name, int(str(attributes_of(node)["kernel"])) + draw(st.integers(1, 2)))
    at = draw(st.integers(0, max(shape[0] - 1, 0)))
    if kind == "branch":
        return Branch(name, at)
    branch, side = Branch(name, at), draw(st.sampled_from(("left", "right")))
    functions = ("relu", "none") if branch.ends(graph)[0] in nonnegative(branch.apply(graph)) else ("none",)
    return BranchAndInsert(name, at, side, layer, kernel, norm, draw(st.sampled_from(functions)), seed)


class _Builder:
    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._nodes: list[Node] = []
        extents = draw(st.sampled_from(((4, 5), (3, 3), (6,))))
        channels = draw(st.integers(1, 2))
        self._input = Input("x", (*extents, channels), DataType.FLOAT32, (0.0,) * channels, (1.0,) * channels)
        self._shapes: dict[str, tuple[int, ...]] = {"x": self._input.value_shape()}

    def graph(self) -> Graph:
        blocks = (self._layer, self._residual, self._sum, self._fork, self._mixed, self._groups, self._pool)
        tip = self._layer("x")
        for _ in range(self._draw(st.integers(1, 3))):
            tip = self._draw(st.sampled_from(blocks))(tip)
        tip = self._draw(st.sampled_from((self._flat, self._pooled)))(tip)
        if self._draw(st.booleans()):
            units = self._draw(st.integers(2, 4))
            tip = self._function(self._add("linear", tip, units=units))
            if self._draw(st.booleans()):
                tip = self._add("add", tip, self._add("linear", tip, units=units))
        tip = self._add("linear", tip, units=CLASSES)
        return Graph(self._input, tuple(self._nodes), tip)

    def _layer(self, tip: str) -> str:
        tip = self._conv(tip, self._draw(st.integers(2, 4)), self._draw(st.integers(1, 2)))
        return self._function(self._norm(tip))

    def _residual(self, tip: str) -> str:
        branch = self._norm(self._conv(self._function(tip), self._shapes[tip][0]))
        return self._function(self._add("add", tip, branch))

    def _sum(self, tip: str) -> str:
        width = self._draw(st.integers(2, 4))
        return self._function(self._add("add", self._conv(tip, width), self._conv(tip, width), self._conv(tip, width)))

    def _fork(self, tip: str) -> str:
        left, right = self._conv(tip, self._draw(st.integers(1, 3))), self._conv(tip, self._draw(st.integers(1, 3)))
        parts = self._draw(st.sampled_from(((left, right), (left, right, left), (left, right, tip))))
        return self._function(self._norm(self._add("concat", *parts)))

    def _mixed(self, tip: str) -> str:
        """Parts of a concatenation that are tied to parts of a layer, or of another concatenation."""
        first, second = self._draw(st.integers(1, 2)), self._draw(st.integers(1, 2))
        one = self._add("concat", self._conv(tip, first), self._conv(tip, second))
        other = self._conv(tip, first + second)
        if self._draw(st.booleans()):
            other = self._add("concat", self._conv(tip, second), self._conv(tip, first))
        return self._function(self._add("add", one, other))

    def _groups(self, tip: str) -> str:
        channels = self._shapes[tip][0]
        if self._draw(st.booleans()) and channels > 1:
            multiple = self._draw(st.integers(1, 2))
            return self._norm(self._add("conv", tip, channels=channels * multiple, kernel=3, groups=channels))
        tip = self._norm(self._conv(tip, 4))
        return self._function(self._add("conv", tip, channels=2 * self._draw(st.integers(1, 3)), kernel=2, groups=2))

    def _pool(self, tip: str) -> str:
        op = self._draw(st.sampled_from(("max_pool", "avg_pool")))
        return self._add(op, tip, kernel=self._draw(st.integers(1, 2)), stride=1, padding="same")

    def _flat(self, tip: str) -> str:
        return self._add("flatten", tip)

    def _pooled(self, tip: str) -> str:
        return self._add("global_pool", tip, function=self._draw(st.sampled_from(("avg", "max"))))

    def _conv(self, tip: str, channels: int, stride: int = 1) -> str:
        op, bias = self._draw(st.sampled_from(("conv", "conv", "separable_conv"))), self._draw(st.booleans())
        return self._add(op, tip, channels=channels, kernel=self._draw(st.integers(1, 3)), stride=stride, bias=bias)

    def _norm(self, tip: str) -> str:
        return self._add("batch_norm", tip) if self._draw(st.booleans()) else tip

    def _function(self, tip: str) -> str:
        return self._add("activation", tip, function=self._draw(st.sampled_from(("relu", "relu", "silu"))))

    def _add(self, op: str, *inputs: str, **attributes: AttributeValue) -> str:
        name = f"s{len(self._nodes) % 2}/{op}.{len(self._nodes)}"
        self._nodes.append(Node(name, op, inputs, attributes))
        self._shapes[name] = infer_shapes(Graph(self._input, tuple(self._nodes), name))[name]
        return name
