"""Networks in the making: layers with names that show the structure, and the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from neunets.graph import AttributeValue, Graph, Input, Node, Shape
from neunets.ops import OPERATORS, figures_of

__all__ = ["DEPTHWISE", "DROPOUTS", "FILTERS", "Draft", "Head", "Layer", "halvings"]

# Of the layers that see the largest maps.
FILTERS: Final = (16, 24, 32, 48, 64)
DROPOUTS: Final = (0.0, 0.1, 0.25)
# Below this extent a convolution sees little but its padding, so nothing is pooled to less.
SMALLEST_EXTENT: Final = 3
# Positions of a map that is flattened: a linear layer behind a larger one would have most of the parameters.
FLAT_POSITIONS: Final = 16
LARGEST_WINDOW: Final = int(OPERATORS["avg_pool"].attributes["kernel"].high)
DEPTHWISE: Final = "depthwise_conv"


@dataclass(frozen=True, slots=True)
class Layer:
    """Convolution, pool where one is named, batch norm, activation unless it is empty.

    The pool stands before the norm, so that norm and activation work on a quarter of the values.
    """

    op: str  # "conv", "separable_conv", or DEPTHWISE, which has as many channels as its source
    channels: int
    kernel: int
    stride: int = 1
    pool: str = ""
    function: str = "relu"


@dataclass(frozen=True, slots=True)
class Head:
    """From a map to logits. `is_flat`: each position has weights of its own; else a mean of all is taken."""

    classes: int
    dropout: float = 0.0
    is_flat: bool = False


class Draft:
    """Nodes so far. A value is named by the node that makes it."""

    def __init__(self, source: Input) -> None:
        self._source = source
        self._nodes: list[Node] = []
        self._shapes: dict[str, Shape] = {source.name: source.value_shape()}

    def shape(self, value: str) -> Shape:
        """Channels first, without the batch."""
        return self._shapes[value]

    def add(self, name: str, op: str, *inputs: str, **attributes: AttributeValue) -> str:
        node = Node(name, op, inputs, attributes)
        self._shapes[name] = figures_of(node, [self._shapes[each] for each in inputs]).shape
        self._nodes.append(node)
        return name

    def layer(self, scope: str, source: str, layer: Layer) -> str:
        attributes: dict[str, AttributeValue] = {"channels": layer.channels, "kernel": layer.kernel}
        if layer.op == DEPTHWISE:
            attributes["groups"] = layer.channels
        if layer.stride > 1:
            attributes["stride"] = layer.stride
        value = self.add(f"{scope}/conv", "conv" if layer.op == DEPTHWISE else layer.op, source, **attributes)
        if layer.pool:
            value = self.halved(scope, value, layer.pool)
        value = self.add(f"{scope}/norm", "batch_norm", value)
        return self.activated(scope, value, layer.function) if layer.function else value

    def activated(self, scope: str, source: str, function: str) -> str:
        return self.add(f"{scope}/activation", "activation", source, function=function)

    def halved(self, scope: str, source: str, pool: str) -> str:
        return self.add(f"{scope}/pool", pool, source, kernel=2, stride=2)

    def total(self, scope: str, values: list[str]) -> str:
        """Their sum, or the only one."""
        return self.add(f"{scope}/sum", "add", *values) if len(values) > 1 else values[0]

    def joined(self, scope: str, values: list[str]) -> str:
        """All of them along the channels, or the only one."""
        return self.add(f"{scope}/concat", "concat", *values) if len(values) > 1 else values[0]

    def graph(self, source: str, head: Head) -> Graph:
        """The network that ends with `head` behind `source`; what it does not depend on is left out."""
        value = self._flat(source) if head.is_flat else self.add("head/pool", "global_pool", source, function="avg")
        if head.dropout:
            value = self.add("head/dropout", "dropout", value, rate=head.dropout)
        value = self.add("head/logits", "linear", value, units=head.classes)
        needed = {value}
        for node in reversed(self._nodes):
            if node.name in needed:
                needed.update(node.inputs)
        return Graph(self._source, tuple(node for node in self._nodes if node.name in needed), value)

    def _flat(self, source: str) -> str:
        """A vector, of a few positions of the map."""
        extents = self._shapes[source][1:]
        most = round(FLAT_POSITIONS ** (1.0 / len(extents)))
        window = min(-(-max(extents) // most), LARGEST_WINDOW)
        if window > 1:
            source = self.add("head/pool", "avg_pool", source, kernel=window, stride=window, padding="same")
        return self.add("head/flatten", "flatten", source)


def halvings(source: Input) -> int:
    """How often the extents can be halved."""
    extent, count = min(source.shape[:-1]), 0
    while extent // 2 >= SMALLEST_EXTENT:
        extent, count = extent // 2, count + 1
    return count
