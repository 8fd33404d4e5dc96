"""Whatever the problem, every network of a space is valid and keeps to the bounds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.canonical import canonical_hash
from neunets.cost import cost
from neunets.draws import generator
from neunets.errors import UnsupportedProblem
from neunets.graph import DataType, Input
from neunets.spaces import ChainSpace
from neunets.spaces.chain import NARROWEST
from neunets.validate import validate

CLASSES = st.integers(2, 200)
SEEDS = st.integers(0, 2**64 - 1)


@st.composite
def inputs(draw: st.DrawFn) -> Input:
    """Images of 4 to 64 pixels a side, grey or coloured; sequences, and degenerate extents of both."""
    if draw(st.booleans()):
        extents, channels = draw(st.tuples(st.integers(4, 64), st.integers(4, 64))), draw(st.sampled_from((1, 3)))
        return Input("image", (*extents, channels), DataType.UINT8, (127.0,) * channels, (60.0,) * channels)
    length, channels = draw(st.integers(1, 300)), draw(st.integers(1, 8))
    return Input("sequence", (length, channels), DataType.FLOAT32, (0.0,) * channels, (1.0,) * channels)


def smallest(given_input: Input, classes: int) -> int:
    """The bound that a refusal asks for."""
    with pytest.raises(UnsupportedProblem) as caught:
        ChainSpace(given_input, classes, 0)
    found = re.search(r"raise max_params to at least ([\d,]+)", caught.value.message)
    assert found is not None
    return int(found[1].replace(",", ""))


@given(source=inputs(), classes=CLASSES, seed=SEEDS)
def test_every_network_is_valid(source: Input, classes: int, seed: int) -> None:
    validate(ChainSpace(source, classes).sample(generator(seed, 0)), classes=classes, input=source)


@given(source=inputs(), classes=CLASSES, seed=SEEDS, more=st.integers(0, 10) | st.integers(0, 100_000))
def test_every_network_keeps_the_bound_on_parameters(source: Input, classes: int, seed: int, more: int) -> None:
    bound = smallest(source, classes) + more
    graph = ChainSpace(source, classes, bound).sample(generator(seed, 0))
    assert cost(graph).params <= bound
    validate(graph, classes=classes, input=source)


@given(source=inputs(), classes=CLASSES, seed=SEEDS, most=st.integers(1, 10**7))
def test_operations_beyond_the_bound_are_those_of_the_narrowest(
    source: Input, classes: int, seed: int, most: int
) -> None:
    graph = ChainSpace(source, classes, None, most).sample(generator(seed, 0))
    widths = {node.attributes["channels"] for node in graph.nodes if "channels" in node.attributes}
    assert cost(graph).flops <= most or widths == {NARROWEST}


@given(source=inputs(), classes=CLASSES, seed=SEEDS)
def test_the_same_generator_draws_the_same_network(source: Input, classes: int, seed: int) -> None:
    space = ChainSpace(source, classes)
    assert space.sample(generator(seed, 1)) == ChainSpace(source, classes).sample(generator(seed, 1))


@given(source=inputs(), classes=CLASSES)
def test_a_bound_below_the_smallest_network_is_refused_with_one_that_works(source: Input, classes: int) -> None:
    needed = smallest(source, classes)
    with pytest.raises(UnsupportedProblem, match=f"{needed:,} parameters"):
        ChainSpace(source, classes, needed - 1)
    assert cost(ChainSpace(source, classes, needed).sample(generator(0, 0))).params <= needed


def test_the_space_is_large() -> None:
    source = Input("image", (28, 28, 1), DataType.UINT8, (0.0,), (1.0,))
    for bound in (None, 20_000):
        space = ChainSpace(source, 10, bound)
        assert len({canonical_hash(space.sample(generator(0, number))) for number in range(100)}) > 90
