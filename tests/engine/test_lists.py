"""Pages, filters and orders of List requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.errors import InvalidRequest
from neunets_engine.service.lists import Page, one_of, parse_filter

FIELDS = {"state": lambda item: item["state"], "name": lambda item: item["name"]}
ITEM = {"state": "COMPLETED", "name": "a b"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("state = COMPLETED", True),
        ("state=completed", True),
        ("state = FAILED", False),
        ('name = "a b" AND state = COMPLETED', True),
        ('state = COMPLETED  AND  name = "a c"', False),
    ],
)
def test_a_filter_matches_where_every_term_does(text: str, matches: bool) -> None:
    assert parse_filter(text, FIELDS)(ITEM) is matches


@pytest.mark.parametrize(
    "text", ["state", "state =", "= COMPLETED", "state = A OR name = b", "state = A AND", "size = 3"]
)
def test_a_bad_filter_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest, match="filter"):
        parse_filter(text, FIELDS)


def test_an_unknown_field_is_told_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match="'size' is none of state, name"):
        parse_filter("size = 3", FIELDS)


@given(last=st.text(min_size=1), query=st.tuples(st.text(), st.text()))
def test_a_token_brings_back_the_last_item(last: str, query: tuple[str, str]) -> None:
    page = Page.of(7, "", *query)
    again = Page.of(7, page.next(last), *query)
    assert (again.count, again.last) == (7, last)


def test_a_token_of_another_filter_is_refused() -> None:
    token = Page.of(0, "", "state = FAILED", "").next("r1")
    with pytest.raises(InvalidRequest, match="another filter"):
        Page.of(0, token, "", "")


@pytest.mark.parametrize("token", ["!", "AAAA", "4pyT"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequest, match="page_token"):
        Page.of(0, token)


def test_too_large_a_page_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="at most 1000"):
        Page.of(1001, "")


def test_an_order_is_one_of_the_known() -> None:
    assert one_of("order_by", "", ("a desc", "a")) == "a desc"
    assert one_of("order_by", " a   desc ", ("a desc", "a")) == "a desc"
    with pytest.raises(InvalidRequest, match="order_by: 'b' is none of a desc, a"):
        one_of("order_by", "b", ("a desc", "a"))
