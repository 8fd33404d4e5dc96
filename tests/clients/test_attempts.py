"""What may pass is tried again, by the table of errors; all else is told at once."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.errors import Busy, DeadlineExceeded, IllegalTransition, NeunetsError, NotReady, PluginUnavailable
from neunets_client.attempts import FIRST_WAIT_S, LONGEST_WAIT_S, Attempts, Patience

LOST, UNREADY, LATE = PluginUnavailable("lost"), NotReady("it starts"), DeadlineExceeded("late")


def attempts(seed: int = 0, deadline_s: float = 60.0) -> Attempts:
    return Attempts(deadline_s, Patience(), random.Random(seed))


def waits(attempts: Attempts, error: NeunetsError) -> tuple[list[float], NeunetsError]:
    """All of them, where each attempt fails at once, and what is raised at last."""
    waited: list[float] = []
    while True:
        try:
            waited.append(attempts.failed(error, sum(waited)))
        except NeunetsError as raised:
            return waited, raised


@given(seed=st.integers(0, 2**32 - 1))
def test_waits_double_between_their_bounds(seed: int) -> None:
    waited, _ = waits(attempts(seed), LOST)
    for number, wait_s in enumerate(waited):
        longest_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**number)
        assert longest_s / 2 <= wait_s <= longest_s


@given(seed=st.integers(0, 2**32 - 1))
def test_a_lost_engine_is_waited_for_longer_than_one_that_is_not_ready(seed: int) -> None:
    lost, unready = waits(attempts(seed), LOST), waits(attempts(seed), UNREADY)
    assert 55.0 <= sum(lost[0]) <= 60.0
    assert 5.0 <= sum(unready[0]) <= 10.0
    assert unready[1] is UNREADY
    assert isinstance(lost[1], NotReady)  # what to do about it is the same
    assert "the engine does not answer: lost" in lost[1].message


def test_two_clients_do_not_come_back_together() -> None:
    assert waits(attempts(1), LOST)[0] != waits(attempts(2), LOST)[0]


@given(seed=st.integers(0, 2**32 - 1), pause_s=st.floats(0.0, 1e6))
def test_what_failed_before_a_success_is_forgotten(seed: int, pause_s: float) -> None:
    tried = attempts(seed)
    waited, _ = waits(tried, LOST)
    tried.succeeded()
    assert tried.failed(LOST, sum(waited) + pause_s) <= FIRST_WAIT_S


def test_a_deadline_is_doubled_once() -> None:
    tried = attempts()
    assert (tried.failed(LATE, 60.0), tried.deadline_s) == (0.0, 120.0)
    with pytest.raises(DeadlineExceeded):
        tried.failed(LATE, 180.0)
    tried.succeeded()
    assert tried.deadline_s == 60.0


@pytest.mark.parametrize("error", [Busy("full"), IllegalTransition("over"), NeunetsError("a bug")])
def test_what_does_not_pass_is_raised_at_once(error: NeunetsError) -> None:
    with pytest.raises(type(error)) as caught:
        attempts().failed(error, 0.0)
    assert caught.value is error
