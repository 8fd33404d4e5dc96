"""Reading that takes most of a budget is refused by the rate of the first files."""

from __future__ import annotations

import pytest

from neunets.errors import InvalidRequest
from neunets.service.v1 import service_pb2
from neunets_client.foresight import Foresight


def read(budget_s: float | None, stage: str, rate: float, total: int, most_s: float) -> float:
    """Examples a second, told twice a second; returns when the reading has ended."""
    at = [0.0]
    foresight = Foresight(budget_s, "--budget", lambda: at[0])
    while at[0] < most_s and at[0] * rate < total:
        foresight.tell(service_pb2.ReadProgress(stage=stage, done=int(at[0] * rate), total=total))
        at[0] += 0.5
    return at[0]


def test_slow_decoding_is_refused_within_seconds_with_the_budget_it_needs() -> None:
    with pytest.raises(InvalidRequest, match=r"about 1000 s of the budget of 60 s.* give 2000 s or more") as caught:
        read(60.0, "decoding", 100.0, 100_000, 3.0)
    assert caught.value.field == "--budget"


def test_headers_that_take_a_third_of_the_budget_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="about 40 s of the budget of 60 s"):
        read(60.0, "measuring", 50.0, 1000, 20.0)


@pytest.mark.parametrize("budget_s", [None, 60.0])
def test_reading_that_leaves_the_budget_its_half_goes_on(budget_s: float | None) -> None:
    assert read(budget_s, "decoding", 100.0, 2900, 60.0) == 29.0


def test_what_has_no_total_is_never_refused() -> None:
    assert read(10.0, "copying", 0.0, 0, 4.0) == 0.0
