"""Split the filters of a convolution over two branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, Final, final

from neunets.errors import InvalidGraph
from neunets.graph import Graph, Node
from neunets.morphisms.edit import exchanged, fresh, layer_of, readers, scope
from neunets.morphisms.morphism import Array, Morphism, Weights, check_weights, in_order
from neunets.ops import Attribute, attributes_of
from neunets.shapes import infer_shapes

__all__ = ["AT", "SIDES", "Branch"]

AT: Final = Attribute(int, 0, low=0)
SIDES: Final = ("left", "right")
SPLIT: Final = ("conv", "separable_conv")
FOLLOWERS: Final = ("batch_norm", "activation")


@final
@dataclass(frozen=True, slots=True)
class Branch(Morphism):
    """The first `at` filters of the convolution `node` on the left, the others on the right, then a concatenation.

    `at` of 0 is half of them, rounded down, as Wistuba splits (ECML-PKDD 2018, doi 10.1007/978-3-030-10928-8_15) and,
    into segments of filters, Cai et al., arXiv:1806.02639. Batch norms and activations that alone read the convolution
    come along into the branches, since they work on each channel: each branch is a layer of its own. Both read the
    whole input; a separable convolution's depthwise kernels are in both.

    Every weight keeps its value and its gradient (depthwise ones share theirs). Evaluation and training are preserved
    exactly.

    Rules: NO_NODE, BRANCH_OP, BRANCH_GROUPS, BRANCH_AT.
    """

    kind: ClassVar[str] = "branch"
    arguments: ClassVar[Mapping[str, Attribute]] = MappingProxyType({"at": AT})

    at: int = 0

    def apply(self, graph: Graph) -> Graph:
        old, first = self._chain(graph), self._first(graph)
        (channels, *_) = infer_shapes(graph)[self.node]
        left, right, joined = self._names(graph, old)
        branches = [*_copies(old, left, first), *_copies(old, right, channels - first)]
        return exchanged(graph, old, [*branches, Node(joined, "concat", (left[-1], right[-1]))])

    def weights(self, graph: Graph, parameters: Weights, batch: Array | None = None) -> dict[str, Array]:
        check_weights(graph, parameters)
        child, old, first = self.apply(graph), self._chain(graph), self._first(graph)
        left, right, _ = self._names(graph, old)
        found = dict(parameters)
        for names, part in ((left, slice(None, first)), (right, slice(first, None))):
            for node, name in zip(old, names, strict=True):
                for key, value in parameters.items():
                    owner, _, parameter = key.rpartition(".")
                    if owner == node.name:
                        found[f"{name}.{parameter}"] = value if parameter == "depthwise" else value[part]
        return in_order(child, found)

    def ends(self, graph: Graph) -> tuple[str, str]:
        """Names of the last nodes of both branches, in the new graph."""
        left, right, _ = self._names(graph, self._chain(graph))
        return left[-1], right[-1]

    def _chain(self, graph: Graph) -> Sequence[Node]:
        """The convolution and what comes along. Raises: InvalidGraph (NO_NODE, BRANCH_OP, BRANCH_GROUPS)."""
        chain = [layer_of(graph, self.node, SPLIT, "BRANCH_OP")]
        groups = attributes_of(chain[0]).get("groups", 1)
        if groups != 1:
            text = f"with {groups} groups, a branch would read a part of its input's channels: no operator takes a part"
            raise InvalidGraph(self.node, "BRANCH_GROUPS", text)
        while True:
            following = readers(graph, chain[-1].name)
            if len(following) != 1 or following[0].op not in FOLLOWERS:
                return chain
            chain.append(following[0])

    def _first(self, graph: Graph) -> int:
        channels = infer_shapes(graph)[self.node][0]
        first = self.at or channels // 2
        if not 0 < first < channels:
            text = f"{channels} filters cannot be split into {first} and {channels - first}"
            raise InvalidGraph(self.node, "BRANCH_AT", text)
        return first

    def _names(self, graph: Graph, chain: Sequence[Node]) -> tuple[Sequence[str], Sequence[str], str]:
        """Of the left nodes, the right ones, and the concatenation."""

        def names(suffix: str) -> list[str]:
            sides = [f"{node.name}_{side}{suffix}" for side in SIDES for node in chain]
            return [*sides, f"{scope(self.node)}concat{suffix}"]

        *sides, joined = fresh(graph, names)
        return sides[: len(chain)], sides[len(chain) :], joined


def _copies(chain: Sequence[Node], names: Sequence[str], channels: int) -> list[Node]:
    sources = [chain[0].inputs, *((name,) for name in names)]
    copies = [
        replace(node, name=name, inputs=inputs) for node, name, inputs in zip(chain, names, sources[:-1], strict=True)
    ]
    return [replace(copies[0], attributes={**copies[0].attributes, "channels": channels}), *copies[1:]]
