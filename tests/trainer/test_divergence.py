"""What is taken for a training that diverges, and what is not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets_trainer.divergence import BOUND, FEWEST_REPORTS, PATIENCE, Divergence

WARMUP = 0.2
classes = st.integers(1, 1000)
steps = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60).map(sorted)


def guessing(count: int) -> float:
    return math.log(max(2, count))


def verdicts(count: int, curve: list[tuple[float, float]]) -> list[str]:
    """Of each (progress, loss)."""
    divergence = Divergence(count, WARMUP)
    return [divergence.of(progress, loss) for progress, loss in curve]


@given(count=classes, loss=st.sampled_from((math.nan, math.inf, -math.inf)), progress=st.floats(0.0, 1.0))
def test_a_loss_that_is_no_number_ends_a_training_at_once(count: int, loss: float, progress: float) -> None:
    assert str(loss) in Divergence(count, WARMUP).of(progress, loss)


@given(count=classes, times=steps, height=st.floats(0.0, BOUND))
def test_a_training_that_learns_nothing_is_left_alone(count: int, times: list[float], height: float) -> None:
    assert not any(verdicts(count, [(time, height * guessing(count)) for time in times]))


@given(count=classes, times=steps, height=st.floats(0.0, 1e30))
def test_no_warmup_is_judged(count: int, times: list[float], height: float) -> None:
    assert not any(verdicts(count, [(time * WARMUP * 0.999, height) for time in times]))


@given(count=classes, number=st.integers(20, 200), height=st.floats(1.01 * BOUND, 1e30))
def test_a_loss_that_stays_large_ends_a_training_after_a_tenth_of_it(count: int, number: int, height: float) -> None:
    curve = [(index / number, height * guessing(count)) for index in range(number + 1)]
    answers = verdicts(count, curve)
    first = next(index for index, answer in enumerate(answers) if answer)
    begun = math.ceil(WARMUP * number - 1e-9)
    assert curve[first][0] - curve[begun][0] >= PATIENCE
    assert first - begun <= PATIENCE * number + 2
    assert "times that of guessing" in answers[first]


@given(count=classes, number=st.integers(20, 200), height=st.floats(1.01 * BOUND, 1e30))
def test_one_report_below_the_bound_begins_the_wait_anew(count: int, number: int, height: float) -> None:
    every = max(1, int(PATIENCE * number) - 1)
    losses = [guessing(count) * (1.0 if index % every == 0 else height) for index in range(number + 1)]
    assert not any(verdicts(count, [(index / number, loss) for index, loss in enumerate(losses)]))


@pytest.mark.parametrize("reports", range(1, FEWEST_REPORTS))
def test_a_few_reports_are_not_enough(reports: int) -> None:
    assert not any(verdicts(10, [(0.3 + 0.2 * index, 1e6) for index in range(reports)]))
