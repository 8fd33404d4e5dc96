"""No candidate makes admission raise, whatever it holds."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from neunets.graph import Graph
from neunets.graph.v1 import graph_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_to_proto
from neunets_engine.admission import RECIPE_RANGES, Admitted, Rules, admit
from strategies import CLASSES, graphs

Candidate = synthesizer_pb2.Candidate

FLOATS = st.floats()
INTS = st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 8)
TEXTS = st.text(max_size=300)
ATTRIBUTES = st.one_of(
    st.builds(graph_pb2.Attribute),
    INTS.map(lambda value: graph_pb2.Attribute(int=value)),
    FLOATS.map(lambda value: graph_pb2.Attribute(float=value)),
    st.booleans().map(lambda value: graph_pb2.Attribute(bool=value)),
    TEXTS.map(lambda value: graph_pb2.Attribute(text=value)),
    st.lists(INTS, max_size=3).map(lambda values: graph_pb2.Attribute(ints=graph_pb2.IntList(values=values))),
)
Mutation = Callable[[Candidate, st.DataObject], None]


def change_attribute(proposed: Candidate, data: st.DataObject) -> None:
    node = data.draw(st.sampled_from(proposed.graph.nodes))
    name = data.draw(st.sampled_from(["channels", "kernel", "stride", "dilation", "groups", "units", "rate"]) | TEXTS)
    node.attributes[name].CopyFrom(data.draw(ATTRIBUTES))


def change_node(proposed: Candidate, data: st.DataObject) -> None:
    node = data.draw(st.sampled_from(proposed.graph.nodes))
    names = st.sampled_from([node.name for node in proposed.graph.nodes])
    node.name = data.draw(st.just(node.name) | names | TEXTS)
    node.op = data.draw(st.sampled_from(["conv", "add", "concat", "flatten", "batch_norm", "max_pool"]) | TEXTS)
    node.inputs[:] = data.draw(st.lists(names | TEXTS, max_size=70))


def change_order(proposed: Candidate, data: st.DataObject) -> None:
    nodes = data.draw(st.permutations(list(proposed.graph.nodes)))
    graph = graph_pb2.Graph(input=proposed.graph.input, nodes=nodes, output=proposed.graph.output)
    proposed.graph.CopyFrom(graph)


def change_input(proposed: Candidate, data: st.DataObject) -> None:
    proposed.graph.input.shape[:] = data.draw(st.lists(st.integers(0, 2**32 - 1), max_size=4))
    proposed.graph.input.std[:] = data.draw(st.lists(st.floats(width=32), max_size=3))
    proposed.graph.output = data.draw(TEXTS)


def change_recipe(proposed: Candidate, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(sorted(RECIPE_RANGES)))
    is_whole = isinstance(RECIPE_RANGES[field][1], int)
    setattr(proposed.recipe, field, data.draw(st.integers(0, 2**32 - 1) if is_whole else FLOATS))


MUTATIONS: list[Mutation] = [change_attribute, change_node, change_order, change_input, change_recipe]


@settings(max_examples=300)
@given(graph=graphs(), mutations=st.lists(st.sampled_from(MUTATIONS), min_size=1, max_size=4), data=st.data())
def test_no_mutation_of_a_candidate_raises(graph: Graph, mutations: list[Mutation], data: st.DataObject) -> None:
    proposed = Candidate(graph=graph_to_proto(graph))
    for mutate in mutations:
        mutate(proposed, data)
    answer = admit(proposed, Rules(graph.input, CLASSES, None), {})
    assert isinstance(answer, Admitted) or all(why.code and why.summary for why in answer)


@settings(max_examples=300)
@given(graph=graphs(), places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=9), tail=st.binary())
def test_no_bytes_of_a_candidate_raise(graph: Graph, places: list[tuple[float, int]], tail: bytes) -> None:
    content = bytearray(Candidate(graph=graph_to_proto(graph)).SerializeToString())
    for place, value in places:
        content[int(place * (len(content) - 1))] = value
    try:
        proposed = Candidate.FromString(bytes(content) + tail)
    except DecodeError:
        return
    answer = admit(proposed, Rules(graph.input, CLASSES, None), {})
    assert isinstance(answer, Admitted) or all(why.code and why.summary for why in answer)
