"""A step is divided until it fits, and no further than it makes sense."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from neunets.cost import training_bytes
from neunets.graph import DataType, Graph, Input, Node
from neunets.machine import Precision
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_to_proto
from neunets_engine.memory import FEWEST_ROWS, MARGIN, parts_within

NODES = (
    Node("conv", "conv", ("image",), {"channels": 64, "kernel": 3}),
    Node("pool", "global_pool", ("conv",), {"function": "avg"}),
    Node("logits", "linear", ("pool",), {"units": 10}),
)
GRAPH = Graph(Input("image", (64, 64, 3), DataType.UINT8, (0.0,) * 3, (1.0,) * 3), NODES, "logits")


@given(gigabytes=st.floats(0.001, 100.0), batch=st.integers(1, 4096))
def test_a_step_has_the_fewest_parts_that_fit(gigabytes: float, batch: int) -> None:
    limit = int(gigabytes * 1e9)
    parts = parts_within(limit, graph_to_proto(GRAPH), synthesizer_pb2.Recipe(batch_size=batch))

    def fits(parts: int) -> bool:
        return MARGIN * training_bytes(GRAPH, batch // parts, Precision.FLOAT32) <= limit

    assert parts & (parts - 1) == 0
    assert fits(parts) or batch // (2 * parts) < FEWEST_ROWS
    assert parts == 1 or not fits(parts // 2)


def test_memory_that_is_not_known_divides_nothing() -> None:
    assert parts_within(0, graph_to_proto(GRAPH), synthesizer_pb2.Recipe(batch_size=1 << 16)) == 1
