"""Whatever the problem and the space, every configuration is a valid network within the bounds."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neunets.canonical import canonical_hash
from neunets.cost import cost
from neunets.draws import generator
from neunets.errors import InvalidRequest, UnsupportedProblem
from neunets.graph import DataType, Graph, Input
from neunets.shapes import infer_shapes
from neunets.spaces import BranchedCells, Configuration, Motifs, Parameters, PlainChains, SkipChains, Space
from neunets.spaces.narrow import NARROWEST
from neunets.validate import validate

Kind: TypeAlias = type[PlainChains] | type[SkipChains] | type[BranchedCells] | type[Motifs]

KINDS = pytest.mark.parametrize("kind", [PlainChains, SkipChains, BranchedCells, Motifs])
FEW = settings(max_examples=20)
CLASSES = st.integers(2, 200)
SEEDS = st.integers(0, 2**64 - 1)
WAYS = st.sampled_from(("sample", "mutate", "neighbour", "decode", "first"))
GREY = Input("image", (28, 28, 1), DataType.UINT8, (0.0,), (1.0,))
SMALLEST_EXTENT = 3
WORDS = r"(component\d+|layer\d+|stem\d+|cell\d+|reduction\d+|node\d+|motif\d+|edge\d\d|input[01]|left|right|mix|head)"
OPERATORS = "(conv|pool|norm|activation|sum|concat|dropout|flatten|logits)"


@st.composite
def inputs(draw: st.DrawFn) -> Input:
    """Images of 4 to 64 pixels a side, grey or coloured; sequences, and degenerate extents of both."""
    if draw(st.booleans()):
        extents, channels = draw(st.tuples(st.integers(4, 64), st.integers(4, 64))), draw(st.sampled_from((1, 3)))
        return Input("image", (*extents, channels), DataType.UINT8, (127.0,) * channels, (60.0,) * channels)
    length, channels = draw(st.integers(1, 300)), draw(st.integers(1, 8))
    return Input("sequence", (length, channels), DataType.FLOAT32, (0.0,) * channels, (1.0,) * channels)


def configuration_of(space: Parameters, way: str, seed: int) -> Configuration:
    rng = generator(seed, 0)
    drawn = space.sample(rng)
    if way == "mutate":
        return space.mutate(drawn, rng)
    if way == "neighbour":
        return space.neighbour(drawn, rng)
    if way == "decode":
        return space.decode(np.where(rng.random(len(space)) < 0.2, np.nan, rng.normal(0.5, 1.0, len(space))))
    return space.first() if way == "first" else drawn


def smallest(kind: Kind, source: Input, classes: int) -> int:
    """The bound that a refusal asks for."""
    with pytest.raises(UnsupportedProblem) as caught:
        kind(source, classes, 0)
    found = re.search(r"raise max_params to at least ([\d,]+)", caught.value.message)
    assert found is not None
    return int(found[1].replace(",", ""))


def filters(graph: Graph) -> set[object]:
    return {node.attributes["channels"] for node in graph.nodes if "channels" in node.attributes}


@KINDS
@FEW
@given(source=inputs(), classes=CLASSES, seed=SEEDS, way=WAYS)
def test_every_configuration_is_a_valid_network(kind: Kind, source: Input, classes: int, seed: int, way: str) -> None:
    space: Space = kind(source, classes)
    validate(space.graph(configuration_of(space.parameters, way, seed)), classes=classes, input=source)


@KINDS
@FEW
@given(source=inputs(), classes=CLASSES, seed=SEEDS, way=WAYS, more=st.integers(0, 10) | st.integers(0, 100_000))
def test_every_network_keeps_the_bound_on_parameters(
    kind: Kind, source: Input, classes: int, seed: int, way: str, more: int
) -> None:
    bound = smallest(kind, source, classes) + more
    space = kind(source, classes, bound)
    graph = space.graph(configuration_of(space.parameters, way, seed))
    assert cost(graph).params <= bound
    validate(graph, classes=classes, input=source)


@KINDS
@FEW
@given(source=inputs(), classes=CLASSES, seed=SEEDS, most=st.integers(1, 10**7))
def test_operations_beyond_the_bound_are_those_of_the_narrowest(
    kind: Kind, source: Input, classes: int, seed: int, most: int
) -> None:
    space = kind(source, classes, None, most)
    graph = space.graph(space.parameters.sample(generator(seed, 0)))
    assert cost(graph).flops <= most or filters(graph) == {NARROWEST}


@KINDS
@FEW
@given(source=inputs(), seed=SEEDS, most=st.integers(1, 10**7))
def test_narrowing_keeps_the_structure_and_widens_nothing(kind: Kind, source: Input, seed: int, most: int) -> None:
    space, narrow = kind(source, 10), kind(source, 10, None, most)
    configuration = space.parameters.sample(generator(seed, 0))
    wide, narrowed = space.graph(configuration), narrow.graph(configuration)
    assert [(node.name, node.op, node.inputs) for node in narrowed.nodes] == [
        (node.name, node.op, node.inputs) for node in wide.nodes
    ]
    shapes, wider = infer_shapes(narrowed), infer_shapes(wide)
    assert all(shape[0] <= wider[name][0] and shape[1:] == wider[name][1:] for name, shape in shapes.items())


@KINDS
@pytest.mark.parametrize("max_params", [2_000, 20_000, 200_000])
def test_a_network_is_as_wide_as_its_bound_allows(kind: Kind, max_params: int) -> None:
    bounded, free = kind(GREY, 10, max_params), kind(GREY, 10)
    for number in range(20):
        configuration = free.parameters.sample(generator(0, number))
        found, wanted = cost(bounded.graph(configuration)).params, cost(free.graph(configuration)).params
        assert found == wanted or found >= max_params / 3 or filters(bounded.graph(configuration)) == {NARROWEST}


@KINDS
@FEW
@given(source=inputs(), classes=CLASSES, seed=SEEDS)
def test_the_same_generator_draws_the_same_network(kind: Kind, source: Input, classes: int, seed: int) -> None:
    one, other = kind(source, classes), kind(source, classes)
    assert one == other
    assert one.graph(one.parameters.sample(generator(seed, 1))) == other.graph(
        other.parameters.sample(generator(seed, 1))
    )


@KINDS
@FEW
@given(source=inputs(), classes=CLASSES, seed=SEEDS)
def test_no_configuration_makes_a_smaller_network_than_the_smallest(
    kind: Kind, source: Input, classes: int, seed: int
) -> None:
    space = kind(source, classes, None, 1)  # no more than one operation: all are as narrow as can be
    graph = space.graph(space.parameters.sample(generator(seed, 0)))
    assert cost(graph).params >= smallest(kind, source, classes)


@KINDS
@FEW
@given(source=inputs(), classes=CLASSES)
def test_a_bound_below_the_smallest_network_is_refused_with_one_that_works(
    kind: Kind, source: Input, classes: int
) -> None:
    needed = smallest(kind, source, classes)
    with pytest.raises(UnsupportedProblem, match=f"{needed:,} parameters"):
        kind(source, classes, needed - 1)
    space = kind(source, classes, needed)
    assert cost(space.graph(space.parameters.sample(generator(0, 0)))).params <= needed


@KINDS
@given(source=inputs(), seed=SEEDS, way=WAYS)
def test_configurations_survive_vectors_and_texts(kind: Kind, source: Input, seed: int, way: str) -> None:
    space = kind(source, 10).parameters
    configuration = configuration_of(space, way, seed)
    assert space.decode(space.encode(configuration)) == configuration
    text = space.spell(configuration)
    assert space.read(text) == configuration
    assert len(text.encode()) <= 256


@KINDS
@given(source=inputs(), seed=SEEDS)
def test_a_mutation_is_another_configuration(kind: Kind, source: Input, seed: int) -> None:
    space, rng = kind(source, 10).parameters, generator(seed, 0)
    configuration = space.sample(rng)
    assert space.mutate(configuration, rng) != configuration
    assert space.neighbour(configuration, rng) != configuration


@KINDS
@pytest.mark.parametrize("bound", [None, 20_000])
def test_the_space_is_large(kind: Kind, bound: int | None) -> None:
    space = kind(GREY, 10, bound)
    graphs = [space.graph(space.parameters.sample(generator(0, number))) for number in range(100)]
    assert len({canonical_hash(graph) for graph in graphs}) > 90


@KINDS
@FEW
@given(source=inputs(), seed=SEEDS)
def test_no_map_is_halved_below_what_a_convolution_sees(kind: Kind, source: Input, seed: int) -> None:
    space = kind(source, 10)
    graph = space.graph(space.parameters.sample(generator(seed, 0)))
    least = min(SMALLEST_EXTENT, *source.shape[:-1])
    maps = [shape[1:] for name, shape in infer_shapes(graph).items() if not name.startswith("head/")]
    assert all(min(extents) >= least for extents in maps)


@KINDS
@FEW
@given(source=inputs(), seed=SEEDS)
def test_every_convolution_is_normalised_at_once_or_behind_its_pool(kind: Kind, source: Input, seed: int) -> None:
    space = kind(source, 10)
    graph = space.graph(space.parameters.sample(generator(seed, 0)))
    readers = defaultdict(list)
    for node in graph.nodes:
        for name in node.inputs:
            readers[name].append(node)
    for node in graph.nodes:
        if node.op in ("conv", "separable_conv"):
            (reader,) = readers[node.name]
            if reader.op in ("max_pool", "avg_pool"):
                (reader,) = readers[reader.name]
            assert reader.op == "batch_norm", node.name


@KINDS
@FEW
@given(source=inputs(), seed=SEEDS)
def test_names_show_the_structure(kind: Kind, source: Input, seed: int) -> None:
    space = kind(source, 10)
    graph = space.graph(space.parameters.sample(generator(seed, 0)))
    assert all(re.fullmatch(rf"({WORDS}/)+{OPERATORS}", node.name) for node in graph.nodes)


@KINDS
@pytest.mark.parametrize(("max_params", "max_flops"), [(None, None), (20_000, 2_000_000), (150, None)])
def test_a_sentence_tells_the_filters_of_the_network_that_is_built(
    kind: Kind, max_params: int | None, max_flops: int | None
) -> None:
    space = kind(GREY, 10, max_params, max_flops)
    for number in range(5):
        configuration = space.parameters.sample(generator(0, number))
        found = re.search(r", (?:(\d+) to )?(\d+) filters,", space.describe(configuration))
        assert found is not None
        widths = {int(str(width)) for width in filters(space.graph(configuration))}
        assert (int(found[1] or found[2]), int(found[2])) == (min(widths), max(widths))
        assert len(space.describe(configuration)) < 250


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        (PlainChains, {"components": 0}),
        (PlainChains, {"layers": 0}),
        (PlainChains, {"layers": 12}),
        (SkipChains, {"layers": 8}),
        (BranchedCells, {"nodes": 16}),
        (BranchedCells, {"cells": 5}),
        (Motifs, {"motifs": 9}),
        (Motifs, {"motif_nodes": 0}),
        (Motifs, {"cell_nodes": 7}),
        (Motifs, {"cells": 3}),
    ],
)
def test_sizes_that_a_text_or_a_graph_cannot_hold_are_refused(kind: Kind, sizes: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest):
        kind(GREY, 10, **sizes)


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        (PlainChains, {"components": 1, "layers": 1}),
        (PlainChains, {"components": 4, "layers": 9}),
        (SkipChains, {"components": 4, "layers": 5}),
        (BranchedCells, {"cells": 4, "nodes": 15}),
        (BranchedCells, {"cells": 1, "nodes": 1}),
        (Motifs, {"motifs": 8, "motif_nodes": 5, "cell_nodes": 6, "cells": 2}),
        (Motifs, {"motifs": 1, "motif_nodes": 2, "cell_nodes": 2, "cells": 1}),
    ],
)
def test_smaller_and_larger_spaces_hold_valid_networks_too(kind: Kind, sizes: dict[str, int]) -> None:
    space = kind(GREY, 10, **sizes)
    for number in range(5):
        configuration = space.parameters.sample(generator(0, number))
        validate(space.graph(configuration), classes=10, input=GREY)
        assert len(space.parameters.spell(configuration)) <= 256


def test_a_configuration_of_another_space_is_refused() -> None:
    chains, cells = PlainChains(GREY, 10), BranchedCells(GREY, 10)
    with pytest.raises(InvalidRequest, match="the configuration has no"):
        cells.graph(chains.parameters.first())
