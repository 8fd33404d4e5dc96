"""Shape inference."""

from __future__ import annotations

from neunets.errors import InvalidGraph
from neunets.graph import Graph, Shape
from neunets.ops import LARGEST, OPERATORS, attributes_of, figures_of

__all__ = ["infer_shapes"]


def infer_shapes(graph: Graph) -> dict[str, Shape]:
    """The shape of every node and of the input, by name: channels first, without the batch.

    Raises: InvalidGraph (UNKNOWN_OP, BAD_ATTRIBUTE, UNKNOWN_INPUT, BAD_ARITY, BAD_SHAPE, TOO_LARGE).
    """
    shapes: dict[str, Shape] = {graph.input.name: graph.input.value_shape()}
    for node in graph.nodes:
        attributes_of(node)
        fewest, most = OPERATORS[node.op].inputs
        if not fewest <= len(node.inputs) <= most:
            wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise InvalidGraph(node.name, "BAD_ARITY", f"{node.op} takes {wanted} inputs, not {len(node.inputs)}")
        for name in node.inputs:
            if name not in shapes:
                text = f"its input {name!r} is no earlier node: nodes stand in topological order, without cycles"
                raise InvalidGraph(node.name, "UNKNOWN_INPUT", text)
        figures = figures_of(node, [shapes[name] for name in node.inputs])
        if figures.largest > LARGEST:
            raise InvalidGraph(node.name, "TOO_LARGE", f"an array of {figures.largest:,} values")
        shapes[node.name] = figures.shape
    return shapes
