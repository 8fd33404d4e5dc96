"""A budget of time is read as people write it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.errors import InvalidRequest
from neunets_client.budget import seconds

FORMS = {
    "90s": 90.0,
    "5m": 300.0,
    "1.5h": 5400.0,
    "1h30m": 5400.0,
    "1d": 86400.0,
    "1h0.5m1s": 3631.0,
    "90": 90.0,
    "0.5": 0.5,
    " 60S ": 60.0,
    "2M": 120.0,
}
REFUSED = (
    "",
    " ",
    "s",
    "h1",
    "1x",
    "1 h",
    "1h 30m",
    "1h30",
    "-5m",
    "+5m",
    "1e3",
    "1,5h",
    ".5h",
    "5.m",
    "inf",
    "nan",
    "1:30",
)


@pytest.mark.parametrize("text", FORMS)
def test_a_form_is_read(text: str) -> None:
    assert seconds(text) == FORMS[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        seconds(text)
    assert caught.value.field == "--budget"
    assert repr(text) in caught.value.message
    assert "1h30m" in caught.value.message


@given(hours=st.integers(0, 1000), minutes=st.integers(0, 1000), rest=st.integers(0, 1000))
def test_parts_add_up(hours: int, minutes: int, rest: int) -> None:
    assert seconds(f"{hours}h{minutes}m{rest}s") == 3600 * hours + 60 * minutes + rest


@given(text=st.text() | st.from_regex(r"[0-9.smhd]*", fullmatch=True))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    with suppress(InvalidRequest):
        assert seconds(text) >= 0.0
