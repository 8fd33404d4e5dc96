"""Joined splits are the splits one after the other."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from neunets_trainer.data import Split
from neunets_trainer.joined import Joined

STORED = torch.arange(12 * 2 * 3, dtype=torch.uint8).reshape(12, 2, 3, 1)
LABELS = torch.arange(12) % 4


@st.composite
def joined(draw: st.DrawFn) -> tuple[Joined, Split, Split]:
    """With the two; either may be empty, and they may share an array."""
    places = draw(st.permutations(range(12)))
    cut, end = sorted(draw(st.tuples(st.integers(0, 12), st.integers(0, 12))))
    parts = [torch.tensor(part, dtype=torch.int64) for part in (places[:cut], places[cut:end])]
    first, second = (
        Split(STORED, LABELS[part], part) if draw(st.booleans()) else Split(STORED[part], LABELS[part])
        for part in parts
    )
    return Joined(first, second), first, second


@given(case=joined(), chosen=st.data())
def test_rows_are_those_of_the_concatenated_arrays(case: tuple[Joined, Split, Split], chosen: st.DataObject) -> None:
    both, first, second = case
    x, y = torch.cat([first.x, second.x]), torch.cat([first.y, second.y])
    assert len(both) == len(y)
    assert torch.equal(both.y, y)
    indices = st.lists(st.integers(0, len(y) - 1), max_size=20) if len(y) else st.just([])
    rows = torch.tensor(chosen.draw(indices), dtype=torch.int64)
    found_x, found_y = both.take(rows)
    assert found_x.dtype == x.dtype
    assert torch.equal(found_x, x[rows])
    assert torch.equal(found_y, y[rows])
