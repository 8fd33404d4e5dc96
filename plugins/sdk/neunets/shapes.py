"""Shape inference."""

from __future__ import annotations

from neunets.errors import InvalidGraph
from neunets.graph import Graph, Shape
from neunets.ops import LARGEST, OPERATORS, attributes_of

__all__ = ["infer_shapes"]


def infer_shapes(graph: Graph) -> dict[str, Shape]:
    """The shape of every node and of the input, by name: channels first, without the batch.

    Raises: InvalidGraph (UNKNOWN_OP, BAD_ATTRIBUTE, UNKNOWN_INPUT, BAD_ARITY, BAD_SHAPE, TOO_LARGE).
    """
    shapes: dict[str, Shape] = {graph.input.name: graph.input.value_shape()}
    for node in graph.nodes:
        attributes = attributes_of(node)
        fewest, most = OPERATORS[node.op].inputs
        if not fewest <= len(node.inputs) <= most:
            wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise InvalidGraph(node.name, "BAD_ARITY", f"{node.op} takes {wanted} inputs, not {len(node.inputs)}")
        for name in node.inputs:
            if name not in shapes:
                text = f"its input {name!r} is no earlier node: nodes stand in topological order, without cycles"
                raise InvalidGraph(node.name, "UNKNOWN_INPUT", text)
        inputs = [shapes[name] for name in node.inputs]
        try:
            shape = OPERATORS[node.op].shape(attributes, inputs)
        except ValueError as error:
            raise InvalidGraph(node.name, "BAD_SHAPE", str(error)) from error
        sizes = [parameter.size for parameter in OPERATORS[node.op].parameters(attributes, inputs).values()]
        largest = 1
        for extent in shape:
            largest *= extent
        if max(largest, *sizes, 0) > LARGEST:
            raise InvalidGraph(node.name, "TOO_LARGE", f"an array of {max(largest, *sizes, 0):,} values")
        shapes[node.name] = shape
    return shapes
