"""What a plugin host answers to questions about graphs, the engine's as well as the kit's."""

from __future__ import annotations

from collections.abc import Callable

from neunets.cost import cost
from neunets.errors import InvalidGraph, InvalidRequest
from neunets.graph import Graph
from neunets.graph.v1 import graph_pb2
from neunets.lineage import derived
from neunets.messages import CANDIDATE_BYTES, LINEAGE_STEPS
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.validate import validate
from neunets.wire import graph_from_proto, graph_to_proto

__all__ = ["apply_morphs", "estimate_cost"]


def estimate_cost(request: synthesizer_pb2.EstimateCostRequest) -> synthesizer_pb2.EstimateCostResponse:
    """Raises: InvalidRequest, where it has no valid graph."""
    price = cost(_valid(request.graph))
    return synthesizer_pb2.EstimateCostResponse(
        params=price.params, flops=price.flops, activation_bytes=price.activation_bytes
    )


def apply_morphs(
    request: synthesizer_pb2.ApplyMorphsRequest, network: Callable[[str, str], graph_pb2.Graph]
) -> synthesizer_pb2.ApplyMorphsResponse:
    """`network(run, candidate)`: one that the run has admitted. Raises: InvalidRequest, where the base is not valid."""
    match request.WhichOneof("base"):
        case "graph":
            base = request.graph
        case "candidate":
            base = network(request.run, request.candidate)
        case _:
            raise InvalidRequest("base", "give a graph, or a run and one of its candidates")
    if len(request.lineage) > LINEAGE_STEPS:
        raise InvalidRequest("lineage", f"{len(request.lineage):,} steps, at most {LINEAGE_STEPS} are possible")
    child = derived(_valid(base), request.lineage)
    if isinstance(child, synthesizer_pb2.Diagnostic):
        return synthesizer_pb2.ApplyMorphsResponse(diagnostics=[child])
    graph = graph_to_proto(child)
    if (size := graph.ByteSize()) > CANDIDATE_BYTES:
        raise InvalidRequest("lineage", f"it makes a graph of {size:,} bytes, at most {CANDIDATE_BYTES:,} are possible")
    return synthesizer_pb2.ApplyMorphsResponse(graph=graph)


def _valid(message: graph_pb2.Graph) -> Graph:
    if (size := message.ByteSize()) > CANDIDATE_BYTES:
        raise InvalidRequest("graph", f"{size:,} bytes, at most {CANDIDATE_BYTES:,} are possible")
    try:
        graph = graph_from_proto(message)
        validate(graph)
    except InvalidGraph as error:
        raise InvalidRequest("graph", error.message) from error
    return graph
