"""A draw depends on what is drawn, not on what was drawn before it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from neunets.draws import generator

NUMBERS = st.integers(0, 2**64 - 1) | st.integers(0, 3) | st.integers(2**63 - 2, 2**63 + 2)
TRIPLES = st.tuples(NUMBERS, NUMBERS, NUMBERS)


def draw(triple: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(generator(*triple).integers(0, 2**63, size=4).tolist())


@given(triple=TRIPLES)
def test_the_same_triple_draws_the_same(triple: tuple[int, int, int]) -> None:
    assert draw(triple) == draw(triple)


@settings(max_examples=300)
@given(triples=st.lists(TRIPLES, min_size=2, max_size=8, unique=True))
def test_no_two_triples_draw_the_same(triples: list[tuple[int, int, int]]) -> None:
    assert len({draw(triple) for triple in triples}) == len(triples)


@given(triples=st.lists(TRIPLES, min_size=2, max_size=8, unique=True), data=st.data())
def test_the_order_of_drawing_does_not_matter(triples: list[tuple[int, int, int]], data: st.DataObject) -> None:
    there = {triple: draw(triple) for triple in triples}
    again = {triple: draw(triple) for triple in data.draw(st.permutations(triples))}
    assert there == again


def test_neighbouring_streams_do_not_overlap() -> None:
    """A long stretch of one holds no part of the next."""
    drawn = np.concatenate([generator(1, 2, index).integers(0, 2**63, size=10_000) for index in range(4)])
    assert len(np.unique(drawn)) == len(drawn)


def test_a_run_that_is_resumed_by_another_version_draws_the_same() -> None:
    drawn = generator(5, 6, 7).bit_generator.random_raw(2)
    assert drawn.tolist() == [11005414662540806005, 2668352464303521297]


def test_without_an_index_it_is_the_first() -> None:
    assert generator(5, 6).random() == generator(5, 6, 0).random()
