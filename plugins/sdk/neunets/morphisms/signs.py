"""Which values of a network are never negative, and so pass a rectifier unchanged."""

from __future__ import annotations

from typing import Final

from neunets.errors import InvalidGraph
from neunets.graph import Graph
from neunets.ops import Attribute, attributes_of

__all__ = ["FUNCTION", "check_function", "nonnegative"]

# Of those that the IR has, these leave every value above or at 0 as it is.
FUNCTION: Final = Attribute(str, "relu", choices=("relu", "leaky_relu", "none"))
RECTIFIERS: Final = frozenset({"relu", "sigmoid"})
# Operators without negative outputs where no input is negative. Each function of the IR has the sign of its argument,
# or is a rectifier.
KEEPING: Final = frozenset(
    {"activation", "max_pool", "avg_pool", "global_pool", "add", "concat", "dropout", "flatten", "identity"}
)


def nonnegative(graph: Graph) -> frozenset[str]:
    """Names of nodes that cannot have a negative value, whatever weights and inputs are."""
    found: set[str] = set()
    for node in graph.nodes:
        rectifies = node.op == "activation" and attributes_of(node)["function"] in RECTIFIERS
        if rectifies or (node.op in KEEPING and found.issuperset(node.inputs)):
            found.add(node.name)
    return frozenset(found)


def check_function(graph: Graph, node: str, function: str) -> None:
    """Whether `function` may be applied to the value of `node` once more: act(act(x)) = act(x).

    The condition under which Net2DeeperNet inserts a layer: Chen et al., arXiv:1511.05641. A rectifier is harmless
    behind any value that is not negative, not only behind a rectifier.

    Raises: InvalidGraph (FUNCTION_CHANGES).
    """
    if function != "none" and node not in nonnegative(graph):
        text = f"{function} would change its value, which may be negative: insert without a function, or elsewhere"
        raise InvalidGraph(node, "FUNCTION_CHANGES", text)
