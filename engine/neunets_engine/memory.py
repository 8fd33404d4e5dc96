"""How many parts a training step is divided into, so that it fits into the memory of its device."""

from __future__ import annotations

from typing import Final

from neunets.cost import training_bytes
from neunets.graph.v1 import graph_pb2
from neunets.machine import Precision
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_from_proto

__all__ = ["parts_within"]

# The estimate may be too low by so much.
MARGIN: Final = 1.5
# Of a part: batch norm has no variance over fewer.
FEWEST_ROWS: Final = 2


def parts_within(device_bytes: int, graph: graph_pb2.Graph, recipe: synthesizer_pb2.Recipe) -> int:
    """A power of two; 1 where `device_bytes` is 0, that is, not known.

    Where nothing fits, the smallest parts are tried all the same: the estimate may be too high.
    """
    if not device_bytes:
        return 1
    parts, network = 1, graph_from_proto(graph)

    def fits(rows: int) -> bool:
        need = training_bytes(network, rows, Precision.FLOAT32, averages=recipe.averaging > 0.0)
        return MARGIN * need <= device_bytes

    while recipe.batch_size // (2 * parts) >= FEWEST_ROWS and not fits(recipe.batch_size // parts):
        parts *= 2
    return parts
