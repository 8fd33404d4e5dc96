"""Add a new branch to a value, around which the value is a skip connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, final

import numpy as np

from neunets.draws import generator
from neunets.errors import InvalidGraph
from neunets.graph import DataType, Graph, Input, Node
from neunets.morphisms.edit import fresh, inserted, node_of, scope
from neunets.morphisms.layers import KERNEL, LAYER, layer_node
from neunets.morphisms.morphism import SEED, Array, Morphism, Weights, check_weights, dtype_of, in_order
from neunets.morphisms.signs import FUNCTION, check_function
from neunets.ops import Attribute
from neunets.reference import initialise
from neunets.shapes import infer_shapes

__all__ = ["InsertSkip"]


@final
@dataclass(frozen=True, slots=True)
class InsertSkip(Morphism):
    """value → function(value + norm(layer(value))) behind `node`, where the norm's scale is 0 at first.

    All that read `node`, which may be the input, read the sum, or the activation behind it unless `function` is "none".
    Wistuba (ECML-PKDD 2018, doi 10.1007/978-3-030-10928-8_15) inserts skips with a convolution of zeros. A batch norm
    behind that one multiplies its gradient by 1 / sqrt(epsilon), 316 for 1e-5, and a rectifier inside the branch stops
    the gradient for ever, since its slope at 0 is 0. So the layer is drawn as a new network's is, the norm's scale is 0
    in its place, and the function stands behind the sum.

    No gradient of another weight changes: the branch adds 0 to the value, and 0 to its gradient. The scale's own
    gradient is the sum of gradient times normalised branch, which is not 0; after one step the scale is not 0 either,
    and the layer's weights get their gradient through it.

    Evaluation and training are preserved exactly.

    Rules: NO_NODE, AT_OUTPUT, FUNCTION_CHANGES, LAYER_SHAPE, KERNEL_UNSEEN.
    """

    kind: ClassVar[str] = "insert_skip"
    arguments: ClassVar[Mapping[str, Attribute]] = MappingProxyType(
        {"layer": LAYER, "kernel": KERNEL, "function": FUNCTION, "seed": SEED}
    )

    layer: str = "conv"
    kernel: int = 3
    function: str = "relu"
    seed: int = 0

    def apply(self, graph: Graph) -> Graph:
        return inserted(graph, self.node, self._new(graph))

    def weights(self, graph: Graph, parameters: Weights, batch: Array | None = None) -> dict[str, Array]:
        check_weights(graph, parameters)
        child, dtype = self.apply(graph), dtype_of(parameters)
        layer, norm, *_ = self._new(graph)
        channels, *extents = infer_shapes(graph)[self.node]
        branch = Graph(Input(self.node, (*extents, channels), DataType.FLOAT32, (), ()), (layer, norm), norm.name)
        new = {key: value.astype(dtype) for key, value in initialise(branch, generator(self.seed, 0)).items()}
        return in_order(child, {**parameters, **new, f"{norm.name}.weight": np.zeros(channels, dtype)})

    def _new(self, graph: Graph) -> Sequence[Node]:
        if self.node != graph.input.name:
            node_of(graph, self.node)
        if self.node == graph.output:
            raise InvalidGraph(self.node, "AT_OUTPUT", "nothing is inserted behind the logits")
        check_function(graph, self.node, self.function)
        shape, before = infer_shapes(graph)[self.node], scope(self.node)
        stems = ("linear" if self.layer == "linear" else "conv", "norm", "add", "activation")
        layer, norm, total, function = fresh(graph, lambda suffix: [f"{before}{stem}{suffix}" for stem in stems])
        new = [
            layer_node(layer, self.layer, self.node, shape, self.kernel, bias=False),
            Node(norm, "batch_norm", (layer,)),
            Node(total, "add", (self.node, norm)),
        ]
        if self.function != "none":
            new.append(Node(function, "activation", (total,), {"function": self.function}))
        return new
