"""Random networks with inputs and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from neunets.graph import AttributeValue, DataType, Graph, Input, Node
from neunets.reference import initialise
from neunets.shapes import infer_shapes

__all__ = ["CLASSES", "Case", "cases", "graphs"]

CLASSES = 3
FUNCTIONS = ("relu", "leaky_relu", "gelu", "silu", "tanh", "sigmoid")


@dataclass(frozen=True)
class Case:
    graph: Graph
    weights: dict[str, NDArray[np.float32]]
    x: NDArray[Any]  # as stored


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Valid graphs over all operators, for images and sequences; every node is used."""
    return _Builder(draw).graph()


@st.composite
def cases(draw: st.DrawFn) -> Case:
    graph = draw(graphs())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = initialise(graph, rng)
    for key, value in weights.items():  # running statistics and biases that matter
        low, high = (0.5, 2.0) if key.endswith("running_var") else (-1.0, 1.0)
        if value.ndim == 1:
            weights[key] = rng.uniform(low, high, value.shape).astype(np.float32)
    shape = (draw(st.integers(1, 3)), *graph.input.shape)
    if graph.input.dtype is DataType.UINT8:
        return Case(graph, weights, rng.integers(0, 256, shape, dtype=np.uint8))
    return Case(graph, weights, rng.normal(size=shape).astype(np.float32))


class _Builder:
    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._nodes: list[Node] = []
        self._shapes: dict[str, tuple[int, ...]] = {}
        is_image = draw(st.booleans())
        extents = draw(st.tuples(*[st.integers(3, 9)] * (2 if is_image else 1)))
        channels = draw(st.integers(1, 3))
        numbers = st.lists(st.floats(0.5, 3.0, width=32), min_size=channels, max_size=channels).map(tuple)
        name, dtype = ("image", DataType.UINT8) if is_image else ("sequence", DataType.FLOAT32)
        factor = 50.0 if is_image else 1.0
        std = tuple(float(np.float32(factor * value)) for value in draw(numbers))  # as the wire keeps it
        self._input = Input(name, (*extents, channels), dtype, draw(numbers), std)

    def graph(self) -> Graph:
        tip = self._input.name
        for _ in range(self._draw(st.integers(1, 6))):
            tip = self._block(tip)
        head = "flatten" if self._draw(st.booleans()) else "global_pool"
        attributes: dict[str, AttributeValue] = {}
        if head == "global_pool":
            attributes["function"] = self._draw(st.sampled_from(("avg", "max")))
        tip = self._add(head, (tip,), **attributes)
        if self._draw(st.booleans()):
            tip = self._add("linear", (tip,), units=self._draw(st.integers(1, 5)), bias=self._draw(st.booleans()))
            tip = self._add(self._draw(st.sampled_from(("batch_norm", "identity"))), (tip,))
        tip = self._add("linear", (tip,), units=CLASSES)
        return Graph(self._input, tuple(self._nodes), tip)

    def _block(self, tip: str) -> str:
        kind = self._draw(st.sampled_from(("layer", "layer", "simple", "pool", "residual", "branches")))
        if kind == "layer":
            return self._layer(tip)
        if kind == "simple":
            return self._simple(tip)
        if kind == "pool":
            return self._pool(tip)
        if kind == "residual":
            return self._add("add", (tip, self._simple(tip)))
        return self._add("concat", (self._simple(tip), self._simple(tip)))

    def _layer(self, tip: str) -> str:
        kernel, stride, padding = self._window(tip)
        attributes: dict[str, AttributeValue] = {
            "channels": 2 * self._draw(st.integers(1, 2)),
            "kernel": kernel,
            "stride": stride,
            "padding": padding,
            "bias": self._draw(st.booleans()),
        }
        if self._draw(st.booleans()):
            return self._add("separable_conv", (tip,), **attributes)
        if padding == "same":
            attributes["dilation"] = self._draw(st.integers(1, 2))
        if self._shape(tip)[0] % 2 == 0:
            attributes["groups"] = self._draw(st.sampled_from((1, 2)))
        return self._add("conv", (tip,), **attributes)

    def _pool(self, tip: str) -> str:
        kernel, stride, padding = self._window(tip)
        op = self._draw(st.sampled_from(("max_pool", "avg_pool")))
        return self._add(op, (tip,), kernel=kernel, stride=self._draw(st.sampled_from((0, stride))), padding=padding)

    def _simple(self, tip: str) -> str:
        op = self._draw(st.sampled_from(("batch_norm", "activation", "dropout", "identity")))
        if op == "activation":
            return self._add(op, (tip,), function=self._draw(st.sampled_from(FUNCTIONS)))
        return self._add(op, (tip,), **({"rate": 0.25} if op == "dropout" else {}))

    def _window(self, tip: str) -> tuple[int, int, str]:
        smallest = min(self._shape(tip)[1:])
        padding = self._draw(st.sampled_from(("same", "valid")))
        kernel = self._draw(st.integers(1, 3 if padding == "same" else min(3, smallest)))
        return kernel, self._draw(st.integers(1, 2)), padding

    def _shape(self, name: str) -> tuple[int, ...]:
        return infer_shapes(Graph(self._input, tuple(self._nodes), name))[name]

    def _add(self, op: str, inputs: tuple[str, ...], **attributes: AttributeValue) -> str:
        name = f"n{len(self._nodes)}/{op}"
        self._nodes.append(Node(name, op, inputs, attributes))
        return name
