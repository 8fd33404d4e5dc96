"""Split a convolution over two branches, and make one of them deeper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, final

from neunets.graph import Graph
from neunets.morphisms.branch import AT, SIDES, Branch
from neunets.morphisms.deepen import Deepen
from neunets.morphisms.morphism import Array, Morphism, Weights
from neunets.ops import Attribute

__all__ = ["BranchAndInsert"]


@final
@dataclass(frozen=True, slots=True)
class BranchAndInsert(Morphism):
    """`Branch` of the convolution `node` at `at`, then `Deepen` behind the branch of `side`, with its arguments.

    Wistuba's "branch and insert" (ECML-PKDD 2018, doi 10.1007/978-3-030-10928-8_15): one of two branches gets an
    identity convolution. A function needs a branch that ends in a rectifier; otherwise choose "none".

    Preserves what both preserve, and is refused where one is; an error of the second names the end of the branch.

    Rules: NO_NODE, BRANCH_OP, BRANCH_GROUPS, BRANCH_AT, FUNCTION_CHANGES, LAYER_SHAPE, KERNEL_UNSEEN.
    """

    kind: ClassVar[str] = "branch_and_insert"
    arguments: ClassVar[Mapping[str, Attribute]] = MappingProxyType(
        {"at": AT, "side": Attribute(str, "right", choices=SIDES), **Deepen.arguments}
    )

    at: int = 0
    side: str = "right"
    layer: str = "conv"
    kernel: int = 3
    norm: bool = False
    function: str = "relu"
    seed: int = 0
    noise: float = 0.0

    def apply(self, graph: Graph) -> Graph:
        branch, deepen = self.steps(graph)
        return deepen.apply(branch.apply(graph))

    def weights(self, graph: Graph, parameters: Weights, batch: Array | None = None) -> dict[str, Array]:
        branch, deepen = self.steps(graph)
        return deepen.weights(branch.apply(graph), branch.weights(graph, parameters), batch)

    def steps(self, graph: Graph) -> tuple[Branch, Deepen]:
        """What it is made of. Raises: InvalidGraph (NO_NODE, BRANCH_OP, BRANCH_GROUPS)."""
        branch = Branch(self.node, self.at)
        end = branch.ends(graph)[SIDES.index(self.side)]
        return branch, Deepen(end, self.layer, self.kernel, self.norm, self.function, self.seed, self.noise)
