"""What a run may begin with before there was another one: a file, and how it is compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperband.climbs import PIXELS, problem_of
from neunets.graph import DataType, Input
from neunets.synthesizer import Experience, PastTrial
from neunets_hyperband.first_day import SHIPPED, SOURCE, compared, read_experiences, spelt_experiences

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
FIGURES = st.dictionaries(st.text(max_size=5), NUMBERS, max_size=3)
TRIALS = st.builds(
    PastTrial,
    st.just(SOURCE),
    st.none(),
    st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3),
    FIGURES,
    NUMBERS,
)
INPUTS = st.sampled_from((PIXELS, Input("sequence", (48, 2), DataType.FLOAT32, (0.5,) * 2, (1.0,) * 2)))
EXPERIENCES = st.builds(
    Experience,
    INPUTS,
    st.integers(2, 100),
    st.integers(1, 10**6),
    st.just(0.0),
    st.lists(TRIALS, max_size=3).map(tuple),
    st.none() | st.booleans(),
    FIGURES,
)


@given(experiences=st.lists(EXPERIENCES, max_size=3))
def test_what_is_written_is_read(experiences: list[Experience], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("day") / "first_day.json"
    path.write_text(spelt_experiences(experiences))
    assert [replace(each, distance=0.0) for each in read_experiences(path)] == experiences


def test_without_a_file_or_with_an_empty_one_nothing_is_known(tmp_path: Path) -> None:
    path = tmp_path / "first_day.json"
    assert read_experiences(path) == ()
    path.write_text("\n")
    assert read_experiences(path) == ()


def test_data_are_compared_by_what_they_are_like() -> None:
    problem = replace(problem_of(), meta_features={"entropy": 1.0})
    same = Experience(PIXELS, 3, problem.train_rows, 9.0, (), meta_features={"entropy": 1.0})
    less = replace(same, meta_features={"entropy": 0.5})
    other = replace(less, classes=10, train_rows=100)
    found = [each.distance for each in compared(problem, (other, same, less))]
    assert found[1] == 0.0 < found[2] < found[0]


def test_what_is_shipped_can_be_begun_with() -> None:
    known, problem = read_experiences(SHIPPED), problem_of()
    for each in known:
        assert each.trials
        assert all(problem.metric in trial.metrics for trial in each.trials)
