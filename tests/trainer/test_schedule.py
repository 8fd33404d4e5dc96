"""Laws of the learning rate and of what ends a training."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from neunets_trainer.schedule import (
    LOWEST,
    VALIDATION_SHARE,
    ClockHorizon,
    StepHorizon,
    constant,
    cosine_restarts,
    one_cycle,
)

fractions = st.floats(0.0, 1.0)
peaks = st.floats(1e-8, 1e3)
cycles = st.integers(1, 16)
seconds = st.floats(0.0, 1e6)
step_horizons = st.builds(StepHorizon, st.integers(1, 2000), st.integers(1, 200), st.floats(0.0, 100.0))
clock_horizons = st.builds(ClockHorizon, st.floats(0.1, 1e5), st.floats(0.0, 1.0))


@given(progress=fractions, peak=peaks, warmup=fractions)
def test_the_rate_stays_between_its_floor_and_its_peak(progress: float, peak: float, warmup: float) -> None:
    assert LOWEST * peak <= one_cycle(progress, peak, warmup) <= peak


@given(pair=st.tuples(fractions, fractions), peak=peaks, warmup=fractions)
def test_the_rate_rises_during_warmup(pair: tuple[float, float], peak: float, warmup: float) -> None:
    early, late = sorted(part * warmup for part in pair)
    assert one_cycle(early, peak, warmup) <= one_cycle(late, peak, warmup)


@given(pair=st.tuples(fractions, fractions), peak=peaks, warmup=fractions)
def test_the_rate_falls_after_warmup(pair: tuple[float, float], peak: float, warmup: float) -> None:
    early, late = sorted(max(part, warmup) for part in pair)
    assert one_cycle(late, peak, warmup) <= one_cycle(early, peak, warmup)


@given(peak=peaks, warmup=fractions)
def test_the_peak_is_where_warmup_ends(peak: float, warmup: float) -> None:
    assert one_cycle(warmup, peak, warmup) == peak


@given(peak=peaks, warmup=st.floats(0.01, 0.99))
def test_the_rate_is_lowest_at_both_ends(peak: float, warmup: float) -> None:
    assert one_cycle(0.0, peak, warmup) == one_cycle(1.0, peak, warmup) == pytest.approx(LOWEST * peak)


@given(epoch=st.floats(0.0, 1e4), peak=peaks, warmup=fractions)
def test_a_constant_rate_is_the_peak_after_its_warmup(epoch: float, peak: float, warmup: float) -> None:
    rate = constant(epoch, peak, warmup)
    assert rate == peak if epoch >= warmup else LOWEST * peak <= rate <= peak


@given(pair=st.tuples(fractions, fractions), peak=peaks, warmup=fractions)
def test_a_constant_rate_rises_during_warmup(pair: tuple[float, float], peak: float, warmup: float) -> None:
    early, late = sorted(part * warmup for part in pair)
    assert constant(early, peak, warmup) <= constant(late, peak, warmup)


def starts(count: int) -> list[float]:
    """Of each cycle, and the end of the last: each is twice as long as the one before."""
    return [(2**number - 1) / (2**count - 1) for number in range(count + 1)]


@given(progress=fractions, peak=peaks, count=cycles)
def test_a_rate_with_restarts_stays_between_its_floor_and_its_peak(progress: float, peak: float, count: int) -> None:
    assert LOWEST * peak <= cosine_restarts(progress, peak, count) <= peak


@given(pair=st.tuples(fractions, fractions), peak=peaks, count=cycles, data=st.data())
def test_within_a_cycle_the_rate_falls(pair: tuple[float, float], peak: float, count: int, data: st.DataObject) -> None:
    begin, end = data.draw(st.sampled_from(list(pairwise(starts(count)))))
    early, late = (begin + (end - begin) * min(max(part, 1e-6), 1.0 - 1e-6) for part in sorted(pair))
    assert cosine_restarts(late, peak, count) <= cosine_restarts(early, peak, count) * (1.0 + 1e-9)


@given(peak=peaks, count=cycles)
def test_each_cycle_goes_from_the_peak_to_the_floor(peak: float, count: int) -> None:
    for begin, end in pairwise(starts(count)):
        margin = 1e-6 * (end - begin)
        assert cosine_restarts(begin + margin, peak, count) == pytest.approx(peak, rel=1e-6)
        assert cosine_restarts(end - margin, peak, count) == pytest.approx(LOWEST * peak)
        assert cosine_restarts((begin + end) / 2, peak, count) == pytest.approx(peak / 2, rel=1e-6)


@given(peak=peaks, count=cycles)
def test_a_training_with_restarts_begins_at_the_peak_and_ends_low(peak: float, count: int) -> None:
    assert cosine_restarts(0.0, peak, count) == peak
    assert cosine_restarts(1.0, peak, count) == pytest.approx(LOWEST * peak)


@given(count=cycles)
def test_it_restarts_once_less_than_it_has_cycles(count: int) -> None:
    ends = [place for end in starts(count)[1:-1] for place in (end * (1.0 - 1e-6), end * (1.0 + 1e-6))]
    rates = [cosine_restarts(place, 1.0, count) for place in [0.0, *ends, 1.0]]
    assert sum(after > before for before, after in pairwise(rates)) == count - 1


@given(progress=fractions, peak=peaks)
def test_one_cycle_with_restarts_is_half_a_cosine(progress: float, peak: float) -> None:
    half = peak * (1.0 + math.cos(math.pi * progress)) / 2
    assert cosine_restarts(progress, peak, 1) == pytest.approx(max(LOWEST * peak, half))


@given(horizon=step_horizons)
def test_progress_in_steps_grows_from_zero_to_one(horizon: StepHorizon) -> None:
    curve = [horizon.progress(step, 0.0) for step in range(horizon.steps)]
    assert 0.0 < curve[0] <= curve[-1] < 1.0
    assert all(before < after for before, after in pairwise(curve))


@given(horizon=clock_horizons, times=st.lists(seconds, min_size=2))
def test_progress_in_seconds_grows_from_zero_to_one(horizon: ClockHorizon, times: list[float]) -> None:
    curve = [horizon.progress(1, time) for time in sorted(times)]
    assert all(0.0 <= before <= after <= 1.0 for before, after in pairwise(curve))
    assert horizon.progress(0, 0.0) == 0.0
    assert horizon.progress(9, horizon.seconds) == 1.0


@given(horizon=step_horizons, now=seconds)
def test_a_training_in_steps_ends_after_the_last(horizon: StepHorizon, now: float) -> None:
    assert not horizon.is_over(horizon.steps - 1, now, 0.0)
    assert horizon.is_over(horizon.steps, now, 0.0)


@given(horizon=clock_horizons, now=seconds, step_s=seconds)
def test_a_training_in_seconds_has_at_least_one_step(horizon: ClockHorizon, now: float, step_s: float) -> None:
    assert not horizon.is_over(0, now, step_s)


@given(horizon=clock_horizons, now=seconds, step_s=seconds)
def test_no_later_step_eats_into_the_reserve(horizon: ClockHorizon, now: float, step_s: float) -> None:
    assert horizon.is_over(1, now, step_s) == (now + step_s > horizon.seconds - horizon.reserve_s)


def validated(horizon: StepHorizon) -> list[int]:
    return [step for step in range(1, horizon.steps + 1) if horizon.validates(step, 0.0, 0.0, 0.0)]


@given(horizon=step_horizons)
def test_validations_in_steps_are_ten_or_one_an_epoch(horizon: StepHorizon) -> None:
    assert len(validated(horizon)) <= max(10, horizon.steps / horizon.steps_an_epoch)


@given(horizon=step_horizons)
def test_the_last_step_is_left_to_the_final_evaluation(horizon: StepHorizon) -> None:
    assert horizon.steps not in validated(horizon)


@given(horizon=step_horizons)
def test_validations_in_steps_take_a_tenth_of_the_time(horizon: StepHorizon) -> None:
    training = 3.0 * horizon.steps  # a training step costs three of evaluation
    spent = len(validated(horizon)) * horizon.steps_a_validation
    assert spent <= VALIDATION_SHARE * training + 1e-6


def test_cheap_validations_come_ten_times_a_training() -> None:
    assert validated(StepHorizon(100, 1000, 1.0)) == list(range(10, 100, 10))


@given(horizon=clock_horizons, step=st.floats(0.005, 0.5), cost=st.floats(0.0, 0.5))
def test_validations_in_seconds_take_a_tenth_of_the_time(horizon: ClockHorizon, step: float, cost: float) -> None:
    step_s, cost_s = step * horizon.seconds, cost * horizon.seconds
    now, last_end, last_cost, spent, count = 0.0, 0.0, 0.0, 0.0, 0
    while not horizon.is_over(1, now, step_s):
        now += step_s
        if horizon.validates(1, now, last_end, last_cost):
            now += cost_s
            last_end, last_cost = now, cost_s
            spent, count = spent + cost_s, count + 1
    assume(count > 1)  # what the first costs is not known before
    assert count <= 10
    assert spent - cost_s <= VALIDATION_SHARE * horizon.seconds
