"""A larger kernel that is zero around the old one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final, final

import numpy as np

from neunets.errors import InvalidGraph
from neunets.graph import Graph, Shape
from neunets.morphisms.edit import layer_of, with_attributes
from neunets.morphisms.morphism import Array, Morphism, Weights, check_weights, in_order
from neunets.morphisms.taps import padded_before, unseen_taps
from neunets.ops import Attribute, Attributes, attributes_of, spatial, window
from neunets.shapes import infer_shapes

__all__ = ["WidenKernel"]

# The parameter that has the taps, behind its first two axes.
KERNELS: Final[Mapping[str, str]] = MappingProxyType({"conv": "weight", "separable_conv": "depthwise"})


@final
@dataclass(frozen=True, slots=True)
class WidenKernel(Morphism):
    """Kernel extent `kernel` on each axis of the convolution `node`; new taps start at zero.

    Wistuba's change of a kernel (ECML-PKDD 2018, doi 10.1007/978-3-030-10928-8_15) adds a ring of zeros, and one to the
    padding. Here the zeros stand wherever the old taps go on to see what they saw: padding 'same' starts the larger
    windows so much earlier, on each axis by its own extent and the stride, and that has to be a multiple of the
    dilation. Padding 'valid' is accepted where the output keeps its extents, which only a stride can bring about.

    New taps get a gradient at once: each one sees a value. There is no symmetry to break, hence no noise. Evaluation
    and training are preserved exactly.

    Rules: NO_NODE, KERNEL_OP, KERNEL_SIZE, KERNEL_PADDING, KERNEL_OFFSET, KERNEL_UNSEEN.
    """

    kind: ClassVar[str] = "widen_kernel"
    arguments: ClassVar[Mapping[str, Attribute]] = MappingProxyType({"kernel": Attribute(int, high=1024)})

    kernel: int

    def apply(self, graph: Graph) -> Graph:
        self._before(graph)
        return with_attributes(graph, {self.node: {"kernel": self.kernel}})

    def weights(self, graph: Graph, parameters: Weights, batch: Array | None = None) -> dict[str, Array]:
        check_weights(graph, parameters)
        child, node = self.apply(graph), layer_of(graph, self.node, KERNELS, "KERNEL_OP")
        key = f"{self.node}.{KERNELS[node.op]}"
        old = parameters[key]
        zeros = [
            (before, self.kernel - before - taps)
            for before, taps in zip(self._before(graph), old.shape[2:], strict=True)
        ]
        return in_order(child, {**parameters, key: np.pad(old, [(0, 0), (0, 0), *zeros])})

    def _before(self, graph: Graph) -> Sequence[int]:
        """New taps before the old ones, on each axis. Raises: InvalidGraph where a precondition fails."""
        node = layer_of(graph, self.node, KERNELS, "KERNEL_OP")
        old = attributes_of(node)
        taps, sizes = window(old)[0], infer_shapes(graph)[node.inputs[0]][1:]
        if self.kernel <= taps:
            raise InvalidGraph(self.node, "KERNEL_SIZE", f"the kernel is {taps} already: {self.kernel} is no more")
        new = {**old, "kernel": self.kernel}
        self._check_extents(old, new, sizes)
        before = [self._shift(old, new, size) for size in sizes]
        for size, start in zip(sizes, before, strict=True):
            if unseen_taps(new, size) - set(range(start, start + taps)):
                text = f"a kernel of {self.kernel} sees nothing but padding with some taps, on an axis of {size} values"
                raise InvalidGraph(self.node, "KERNEL_UNSEEN", text)
        return before

    def _check_extents(self, old: Attributes, new: Attributes, sizes: Shape) -> None:
        try:
            keeps = spatial(new, sizes) == spatial(old, sizes)
        except ValueError as error:
            raise InvalidGraph(self.node, "KERNEL_PADDING", str(error)) from error
        if not keeps:
            raise InvalidGraph(self.node, "KERNEL_PADDING", "without padding, the output would have other extents")

    def _shift(self, old: Attributes, new: Attributes, size: int) -> int:
        dilation = window(old)[2]
        shift, rest = divmod(padded_before(new, size) - padded_before(old, size), dilation)
        if rest:
            text = f"windows would start {shift * dilation + rest} earlier, which is no multiple of the dilation"
            raise InvalidGraph(self.node, "KERNEL_OFFSET", text)
        return shift
