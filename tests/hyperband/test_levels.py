"""The published numbers of rungs and brackets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets_hyperband.levels import Bracket, Convention, brackets, levels, work

JMLR, HPBANDSTER = Convention.JMLR, Convention.HPBANDSTER


@pytest.mark.parametrize(
    ("least", "most", "eta", "expected"),
    [
        (1, 81, 3, (1, 3, 9, 27, 81)),
        (1, 243, 3, (1, 3, 9, 27, 81, 243)),  # logarithms say one rung less
        (1, 27, 3, (1, 3, 9, 27)),
        (1, 9, 3, (1, 3, 9)),
        (1, 1000, 10, (1, 10, 100, 1000)),
        (2, 81, 3, (3, 9, 27, 81)),
        (4, 4, 2, (4,)),
        (0.1, 0.9, 3, (0.1, 0.3, 0.9)),
    ],
)
def test_rungs_are_counted_from_the_highest(least: float, most: float, eta: int, expected: tuple[float, ...]) -> None:
    assert levels(least, most, eta) == pytest.approx(expected)


@given(least=st.floats(0.01, 10.0), eta=st.integers(2, 16), rungs=st.integers(1, 8), more=st.floats(1.0, 1.9))
def test_each_rung_is_eta_times_the_one_below(least: float, eta: int, rungs: int, more: float) -> None:
    found = levels(least, more * least * eta ** (rungs - 1), eta)
    assert len(found) == rungs
    assert found[0] >= least * (1 - 1e-6)
    assert list(found[1:]) == pytest.approx([eta * each for each in found[:-1]])


@pytest.mark.parametrize(
    ("rungs", "convention", "sizes"),
    [
        (5, JMLR, [(81, 27, 9, 3, 1), (34, 11, 3, 1), (15, 5, 1), (8, 2), (5,)]),
        (5, HPBANDSTER, [(81, 27, 9, 3, 1), (27, 9, 3, 1), (9, 3, 1), (6, 2), (5,)]),
        (4, JMLR, [(27, 9, 3, 1), (12, 4, 1), (6, 2), (4,)]),
        (4, HPBANDSTER, [(27, 9, 3, 1), (9, 3, 1), (6, 2), (4,)]),
        (3, JMLR, [(9, 3, 1), (5, 1), (3,)]),
        (3, HPBANDSTER, [(9, 3, 1), (3, 1), (3,)]),
    ],
)
def test_brackets_have_the_published_sizes(rungs: int, convention: Convention, sizes: list[tuple[int, ...]]) -> None:
    found = brackets(rungs, 3, convention)
    assert [bracket.sizes for bracket in found] == sizes
    assert [bracket.lowest for bracket in found] == list(range(rungs))


def test_brackets_begin_as_syne_tune_s() -> None:
    assert [bracket.sizes[0] for bracket in brackets(6, 3, JMLR)] == [243, 98, 41, 18, 9, 6]


@pytest.mark.parametrize(
    ("most", "convention", "total"),
    [
        (81, JMLR, 1902),
        (81, HPBANDSTER, 1701),
        (27, JMLR, 423),
        (27, HPBANDSTER, 405),
        (9, JMLR, 78),
        (9, HPBANDSTER, 72),
    ],
)
def test_without_continuing_a_round_has_the_published_epochs(most: int, convention: Convention, total: int) -> None:
    epochs = levels(1, most, 3)
    begun = brackets(len(epochs), 3, convention)
    assert total == sum(
        size * level for bracket in begun for size, level in zip(bracket.sizes, epochs[bracket.lowest :], strict=True)
    )


def test_who_goes_on_pays_the_difference_alone() -> None:
    assert work(Bracket(0, (9, 3, 1)), (1.0, 3.0, 9.0)) == 9 * 1 + 3 * 2 + 1 * 6
    assert work(Bracket(1, (5, 1)), (1.0, 3.0, 9.0)) == 5 * 3 + 1 * 6
