"""The signed-rank test against all choices of signs."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.conform.significance import signed_rank


def _by_counting(differences: list[int]) -> float:
    """The part of all choices of signs whose rank sum is as large."""
    told = [each for each in differences if each]
    sizes = sorted(abs(each) for each in told)
    ranks = [sum(i + 1 for i, size in enumerate(sizes) if size == abs(each)) / sizes.count(abs(each)) for each in told]
    reached = sum(rank for rank, each in zip(ranks, told, strict=True) if each > 0)
    choices = product((0, 1), repeat=len(told))
    sums = [sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign) for signs in choices]
    return sum(each >= reached for each in sums) / len(sums)


@given(st.lists(st.integers(-5, 5), max_size=9))
def test_it_is_exact(differences: list[int]) -> None:
    assert signed_rank(differences) == pytest.approx(_by_counting(differences))


def test_twenty_pairs_that_are_all_better_are_no_chance() -> None:
    assert signed_rank([0.01 * each for each in range(1, 21)]) == pytest.approx(2.0**-20)


def test_pairs_without_a_difference_tell_nothing() -> None:
    assert signed_rank([0.0] * 20) == 1.0
