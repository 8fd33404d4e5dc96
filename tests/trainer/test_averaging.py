"""The average of the weights reaches back over the last part of the steps, and is put on and taken off bit for bit."""

from __future__ import annotations

import math
from contextlib import ExitStack, suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from neunets_trainer.averaging import Average

fractions = st.floats(0.01, 0.95)
steps = st.integers(1, 400)


def shares(fraction: float, steps: int) -> list[float]:
    """Of each step's weights in the mean after `steps`: each step is a direction of its own."""
    live = torch.zeros(steps, dtype=torch.float64)
    average = Average({"w": live}, fraction)
    for step in range(steps):
        live.zero_()[step] = 1.0
        average.add(step + 1)
    return [float(share) for share in average.values["w"]]


def expected_share(fraction: float, step: int, steps: int) -> float:
    """(eta + 1) / (step + eta) times what each later step leaves of it, (r - 1) / (r + eta), as one product."""
    eta = 1.0 / fraction - 1.0
    logarithm = math.lgamma(steps) - math.lgamma(step) + math.lgamma(step + eta) - math.lgamma(steps + 1.0 + eta)
    return (eta + 1.0) * math.exp(logarithm)


@given(fraction=fractions, steps=steps)
def test_the_mean_is_that_of_polynomial_decay(fraction: float, steps: int) -> None:
    expected = [expected_share(fraction, step, steps) for step in range(1, steps + 1)]
    assert shares(fraction, steps) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(fraction=fractions, steps=steps)
def test_the_shares_of_all_steps_are_a_whole(fraction: float, steps: int) -> None:
    found = shares(fraction, steps)
    assert min(found) >= 0.0
    assert sum(found) == pytest.approx(1.0)


@given(fraction=st.floats(0.05, 0.95), steps=st.integers(200, 400))
def test_most_of_the_mean_is_of_the_last_fraction(fraction: float, steps: int) -> None:
    found = shares(fraction, steps)
    assert sum(found[: round((1.0 - fraction) * steps)]) < 0.4
    assert sum(found[: round(max(0.0, 1.0 - 3.0 * fraction) * steps)]) < 0.05


@given(fraction=fractions, start=st.floats(-1e6, 1e6))
def test_what_was_before_the_first_step_is_forgotten(fraction: float, start: float) -> None:
    live = torch.full((3,), start)
    average = Average({"w": live}, fraction)
    live.fill_(0.5)
    average.add(1)
    assert torch.equal(average.values["w"], live)


def a_moved_average() -> tuple[dict[str, Tensor], Average]:
    draws = torch.Generator().manual_seed(0)
    kernel = torch.randn(4, 3, 2, 2, generator=draws).contiguous(memory_format=torch.channels_last)
    live = {"kernel": kernel.requires_grad_(), "running_mean": torch.randn(5, generator=draws)}
    average = Average(live, 0.3)
    for step in range(1, 4):
        for value in live.values():
            value.detach().add_(torch.randn(value.shape, generator=draws))
        average.add(step)
    return live, average


def test_the_network_has_the_mean_inside_a_with_and_its_own_weights_after_it() -> None:
    live, average = a_moved_average()
    own, mean = ({key: value.detach().clone() for key, value in of.items()} for of in (live, average.values))
    with average.applied():
        assert all(torch.equal(live[key], mean[key]) for key in live)
    assert all(torch.equal(live[key], own[key]) and torch.equal(average.values[key], mean[key]) for key in live)


@given(depth=st.integers(1, 4), raises=st.booleans())
def test_the_weights_come_back_bit_for_bit_however_the_block_ends(depth: int, raises: bool) -> None:
    live, average = a_moved_average()
    own, mean = ({key: value.detach().clone() for key, value in of.items()} for of in (live, average.values))
    with suppress(ZeroDivisionError), ExitStack() as stack:
        for _ in range(depth):
            stack.enter_context(average.applied())
        if raises:
            raise ZeroDivisionError
    assert all(torch.equal(live[key], own[key]) and torch.equal(average.values[key], mean[key]) for key in live)


def test_an_average_goes_on_from_what_was_kept_of_it() -> None:
    live, average = a_moved_average()
    again = Average(live, 0.3)
    again.load({key: value.numpy().copy() for key, value in average.values.items()})
    live["running_mean"].add_(1.0)
    average.add(4)
    again.add(4)
    assert all(torch.equal(again.values[key], average.values[key]) for key in live)
