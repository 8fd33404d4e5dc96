"""Insert a layer that passes its input on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, final

import numpy as np

from neunets.draws import generator
from neunets.errors import InvalidGraph
from neunets.graph import Graph, Node
from neunets.morphisms.edit import fresh, inserted, node_of, readers, scope, up_to
from neunets.morphisms.layers import KERNEL, LAYER, identity_norm, identity_weights, layer_node
from neunets.morphisms.morphism import (
    NOISE,
    SEED,
    Array,
    Morphism,
    Weights,
    check_weights,
    disturbed,
    dtype_of,
    in_order,
)
from neunets.morphisms.signs import FUNCTION, check_function
from neunets.ops import Attribute
from neunets.reference import run
from neunets.shapes import infer_shapes

__all__ = ["Deepen"]


@final
@dataclass(frozen=True, slots=True)
class Deepen(Morphism):
    """Insert layer, batch norm (if `norm`) and activation (unless "none") behind `node`, as identities.

    Net2DeeperNet: Chen et al., arXiv:1511.05641. All that read `node`, which may be the input, read the new layer
    instead. It has as many channels, stride 1 and padding 'same'. A linear layer has no `kernel`.

    Gradients reach every new weight at once, since each off-diagonal entry meets a value and a gradient. `noise`:
    deviation relative to the identity's, added to the layer's mixing weights; 0 preserves exactly.

    Evaluation is preserved, and training as well: without `norm` always; with it for batches of the statistics that
    were measured, in evaluation. Without a `batch` to measure, the norm has mean 0 and variance 1, and normalises in
    training.

    Rules: NO_NODE, AT_OUTPUT, FUNCTION_CHANGES, LAYER_SHAPE, KERNEL_UNSEEN.
    """

    kind: ClassVar[str] = "deepen"
    arguments: ClassVar[Mapping[str, Attribute]] = MappingProxyType(
        {
            "layer": LAYER,
            "kernel": KERNEL,
            "norm": Attribute(bool, False),
            "function": FUNCTION,
            "seed": SEED,
            "noise": NOISE,
        }
    )

    layer: str = "conv"
    kernel: int = 3
    norm: bool = False
    function: str = "relu"
    seed: int = 0
    noise: float = 0.0

    def apply(self, graph: Graph) -> Graph:
        return inserted(graph, self.node, self._new(graph))

    def weights(self, graph: Graph, parameters: Weights, batch: Array | None = None) -> dict[str, Array]:
        check_weights(graph, parameters)
        child, dtype, shape = self.apply(graph), dtype_of(parameters), infer_shapes(graph)[self.node]
        layer, *behind = self._new(graph)
        found = dict(parameters)
        for number, (key, value) in enumerate(identity_weights(layer, shape, dtype).items()):
            found[f"{layer.name}.{key}"] = disturbed(value, self.noise, generator(self.seed, 0, number))
        if self.norm:
            values = None if batch is None else _values(child, layer.name, found, batch)
            for key, value in identity_norm(behind[0], shape[0], dtype, values).items():
                found[f"{behind[0].name}.{key}"] = value
        return in_order(child, found)

    def _new(self, graph: Graph) -> Sequence[Node]:
        if self.node != graph.input.name:
            node_of(graph, self.node)
        if self.node == graph.output:
            raise InvalidGraph(self.node, "AT_OUTPUT", "nothing is inserted behind the logits")
        check_function(graph, self.node, self.function)
        shape, before = infer_shapes(graph)[self.node], scope(self.node)
        stems = ("linear" if self.layer == "linear" else "conv", "norm", "activation")
        layer, norm, function = fresh(graph, lambda suffix: [f"{before}{stem}{suffix}" for stem in stems])
        new = [layer_node(layer, self.layer, self.node, shape, self.kernel, not self._is_normalised(graph))]
        if self.norm:
            new.append(Node(norm, "batch_norm", (layer,)))
        if self.function != "none":
            new.append(Node(function, "activation", (new[-1].name,), {"function": self.function}))
        return new

    def _is_normalised(self, graph: Graph) -> bool:
        """Whether batch norms alone read the new layer: they would take a bias away, and leave it no gradient."""
        return self.norm or (
            self.function == "none" and all(reader.op == "batch_norm" for reader in readers(graph, self.node))
        )


def _values(graph: Graph, name: str, parameters: Weights, batch: Array) -> Array:
    """(N, C, ...) of a node, in float64. Raises: InvalidGraph (BAD_BATCH)."""
    if len(batch) < 1 or batch.shape[1:] != graph.input.shape:
        text = f"a batch of shape {batch.shape}: it has to be (N, {', '.join(map(str, graph.input.shape))})"
        raise InvalidGraph(graph.input.name, "BAD_BATCH", text)
    return run(up_to(graph, name), parameters, batch, dtype=np.float64)
