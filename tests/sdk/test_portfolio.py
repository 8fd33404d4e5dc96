"""Few candidates of which on each data set one does well."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from neunets.portfolio import portfolio, weights_of

Array = NDArray[np.float64]

# With few binary digits, so that sums of products are exact in any order.
EIGHTHS = st.integers(0, 8).map(lambda number: number / 8)
UNTRIED = st.one_of(EIGHTHS, st.just(math.nan))


@st.composite
def tables(draw: st.DrawFn, most: int = 7) -> tuple[Array, Array]:
    """Ranks (T, C) and weights (T,)."""
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, most))
    ranks = draw(st.lists(UNTRIED, min_size=rows * columns, max_size=rows * columns))
    weights = draw(st.lists(EIGHTHS, min_size=rows, max_size=rows))
    return np.array(ranks).reshape(rows, columns), np.array(weights)


def remaining(ranks: Array, weights: Array, chosen: list[int]) -> float:
    """The weighted sum of the best ranks."""
    known = np.where(np.isnan(ranks), 0.5, ranks)[:, chosen]
    return float(weights @ known.min(axis=1, initial=1.0))


@given(table=tables(), count=st.integers(0, 9))
def test_each_candidate_is_there_once(table: tuple[Array, Array], count: int) -> None:
    chosen = portfolio(*table, count)
    assert len({*chosen}) == len(chosen) == min(count, table[0].shape[1])


@given(table=tables(), count=st.integers(0, 7))
def test_each_candidate_lowers_the_sum_by_less_than_the_one_before(table: tuple[Array, Array], count: int) -> None:
    chosen = portfolio(*table, count)
    sums = [remaining(*table, chosen[:end]) for end in range(len(chosen) + 1)]
    gains = -np.diff(sums)
    assert (gains >= 0.0).all()
    assert (np.diff(gains) <= 0.0).all()


@given(table=tables())
def test_the_first_is_the_best_alone_and_of_equals_the_first(table: tuple[Array, Array]) -> None:
    sums = [remaining(*table, [column]) for column in range(table[0].shape[1])]
    assert portfolio(*table, 1) == [sums.index(min(sums))]


@given(table=tables(), count=st.integers(1, 7))
def test_more_are_chosen_behind_the_same_ones(table: tuple[Array, Array], count: int) -> None:
    assert portfolio(*table, count) == portfolio(*table, count + 1)[:count]


@given(table=tables(), count=st.integers(1, 7), data=st.data())
def test_the_order_of_the_data_sets_does_not_matter(
    table: tuple[Array, Array], count: int, data: st.DataObject
) -> None:
    ranks, weights = table
    order = data.draw(st.permutations(range(len(weights))))
    assert portfolio(ranks[order], weights[order], count) == portfolio(ranks, weights, count)


@given(table=tables(), count=st.integers(1, 4))
def test_no_choice_gains_much_more(table: tuple[Array, Array], count: int) -> None:
    every = combinations(range(table[0].shape[1]), min(count, table[0].shape[1]))
    nothing = remaining(*table, [])
    best = max(nothing - remaining(*table, [*each]) for each in every)
    assert nothing - remaining(*table, portfolio(*table, count)) >= (1.0 - 1.0 / math.e) * best - 1e-12


def test_what_is_good_on_all_data_comes_before_what_is_best_on_one() -> None:
    ranks = np.array([[0.0, 1.0, 0.1], [1.0, 0.0, 0.1]])
    assert portfolio(ranks, np.ones(2), 3) == [2, 0, 1]


def test_what_was_not_tried_counts_as_a_mean_rank() -> None:
    ranks = np.array([[0.6, math.nan, 0.4]])
    assert portfolio(ranks, np.ones(1), 3) == [2, 0, 1]
    assert portfolio(ranks[:, :2], np.ones(1), 1) == [1]


def test_nothing_is_chosen_of_nothing() -> None:
    assert portfolio(np.empty((0, 0)), weights_of(np.empty(0)), 5) == []
    assert portfolio(np.empty((2, 0)), np.ones(2), 5) == []


def test_weights_fall_with_the_distance_by_the_median_of_those_above_0() -> None:
    assert weights_of(np.array([0.0, 1.0, 2.0, 6.0])) == pytest.approx(np.exp([0.0, -0.5, -1.0, -3.0]))
    assert weights_of(np.zeros(2)) == pytest.approx(np.ones(2))


@given(distances=st.lists(st.floats(0.0, 100.0), min_size=1, max_size=8), factor=st.floats(0.01, 100.0))
def test_the_scale_of_distances_does_not_matter(distances: list[float], factor: float) -> None:
    given_ones = np.array([each for each in distances if each == 0.0 or each > 1e-6] or [0.0])
    np.testing.assert_allclose(weights_of(factor * given_ones), weights_of(given_ones), rtol=1e-9, atol=1e-12)
