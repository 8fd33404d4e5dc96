"""Forecasts of learning curves are as certain as they may be."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets_hyperband.curves import FEWEST_ENDS, Forecast, forecast, miss, regressed, widened

END = 9.0
POINTS = 10
SEEN = 5
CURVES = 300


def curves(seed: int, noise: float) -> list[dict[float, float]]:
    """Of three families, with rates of their own: not those of the grid that is fitted."""
    rng, found = np.random.default_rng(seed), list[dict[float, float]]()
    times = np.arange(1, POINTS + 1) / POINTS
    shapes: tuple[Callable[[], np.ndarray], ...] = (
        lambda: (POINTS * times) ** -rng.uniform(0.3, 1.5),
        lambda: np.exp(-times / rng.uniform(0.05, 0.6)),
        lambda: 1.0 / (1.0 + (times / rng.uniform(0.03, 0.3)) ** rng.uniform(0.7, 1.8)),
    )
    for number in range(CURVES):
        values = rng.uniform(0.6, 0.97) - rng.uniform(0.1, 0.5) * shapes[number % 3]()
        noisy = np.clip(values + rng.normal(0.0, noise, POINTS), 0.0, 1.0)
        found.append(dict(zip((END * times).tolist(), noisy.tolist(), strict=True)))
    return found


def early(curve: dict[float, float], points: int = SEEN) -> dict[float, float]:
    return dict(list(curve.items())[:points])


def forecasts(found: list[dict[float, float]]) -> list[tuple[Forecast, float]]:
    """With how they came out."""
    pairs = [(forecast(early(curve), END), curve[END]) for curve in found]
    return [(made, value) for made, value in pairs if made is not None]


@pytest.mark.parametrize("noise", [0.002, 0.005, 0.01])
def test_ends_lie_within_what_was_said(noise: float) -> None:
    found = forecasts(curves(0, noise))
    within = [abs(value - made.mean) < 1.645 * made.deviation for made, value in found]
    assert len(found) == CURVES
    assert np.mean(within) >= 0.88
    assert np.median([made.deviation for made, _ in found]) < 0.04
    assert abs(np.mean([(value - made.mean) / made.deviation for made, value in found])) < 0.25


def test_few_are_above_what_they_had_little_chance_for() -> None:
    rng, hopeless = np.random.default_rng(1), list[bool]()
    for made, value in forecasts(curves(1, 0.005)):
        wanted = rng.uniform(0.5, 1.0)
        if made.chance_above(wanted) < 0.05:
            hopeless.append(value > wanted)
    assert len(hopeless) > 50
    assert np.mean(hopeless) < 0.05


def test_the_last_value_alone_is_a_worse_forecast() -> None:
    found = curves(2, 0.005)
    made = [abs(each.mean - value) for each, value in forecasts(found)]
    last = [abs(list(early(curve).values())[-1] - curve[END]) for curve in found]
    assert np.mean(made) < 0.7 * np.mean(last)


def test_a_chance_is_that_of_a_normal_error() -> None:
    made = Forecast(0.8, 0.1)
    assert made.chance_above(0.8) == 0.5
    assert made.chance_above(0.8 + 0.1 * 1.645) == pytest.approx(0.05, abs=1e-3)


@given(points=st.dictionaries(st.floats(0.01, 9.0), st.floats(0.0, 1.0), min_size=4, max_size=12))
def test_any_curve_has_a_forecast_that_is_a_number(points: dict[float, float]) -> None:
    made = forecast(points, END)
    assert made is not None
    assert 0.0 <= made.mean <= 1.0
    assert 0.0 < made.deviation < math.inf
    assert 0.0 <= made.chance_above(0.5) <= 1.0


def test_few_points_are_no_curve() -> None:
    assert forecast({1.0: 0.1, 2.0: 0.2, 3.0: 0.3}, END) is None
    assert forecast({1.0: 0.1, 2.0: 0.2, 3.0: 0.3, 10.0: 0.4}, END) is None
    assert miss({}, END) is None


def test_a_miss_is_told_in_deviations() -> None:
    curve = curves(3, 0.002)[0]
    made = forecast({epoch: value for epoch, value in curve.items() if epoch <= END / 2}, END)
    assert made is not None
    assert miss(curve, END) == pytest.approx((curve[END] - made.mean) / made.deviation)


def test_forecasts_that_miss_become_uncertain() -> None:
    made = Forecast(0.8, 0.01)
    assert widened(made, []) == made
    assert widened(made, [0.1] * 20) == made
    assert widened(made, [3.0] * 20).deviation == pytest.approx(0.01 * math.sqrt((4 + 20 * 9) / 24))


ENDS = st.lists(st.floats(0.0, 1.0), max_size=40)


@given(mean=st.floats(0.0, 1.0), deviation=st.floats(1e-4, 0.3), ends=ENDS)
def test_what_regresses_is_never_better_and_by_three_deviations_at_most(
    mean: float, deviation: float, ends: list[float]
) -> None:
    found = regressed(Forecast(mean, deviation), ends)
    assert found.deviation == deviation
    assert mean - 3.0 * deviation - 1e-9 <= found.mean <= mean
    assert found.mean == mean or len(ends) >= FEWEST_ENDS


def test_forecasts_of_ends_regress_to_what_they_are_worth() -> None:
    """Ends fall off exponentially: a forecast of one of them is too good by its variance over their mean."""
    rng = np.random.default_rng(0)
    ends, deviation = 0.6 + rng.exponential(0.05, 20_000), 0.04
    forecasts = ends + rng.normal(0.0, deviation, len(ends))
    said = forecasts > 0.8
    found = [regressed(Forecast(float(each), deviation), ends.tolist()[:300]).mean for each in forecasts[said][:200]]
    assert np.mean(found) == pytest.approx(np.mean(ends[said][:200]), abs=0.01)
    assert np.mean(forecasts[said]) > np.mean(ends[said]) + 0.02
