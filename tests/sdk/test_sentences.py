"""Text of strangers for terminals and messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.messages import fitting
from neunets.sentences import printable, sentence


@pytest.mark.parametrize("odd", ["\x1b[2J", "\x9b31m", "\0", "\u202e", "\udce9", "\x07", "\n", "\u2028"])
def test_what_moves_the_cursor_or_is_no_text_is_escaped(odd: str) -> None:
    told = printable(f"a{odd}b")
    assert told.isprintable()
    assert told.encode().startswith(b"a\\")


@given(st.text(st.characters(categories=("L", "N", "P", "S"))))
def test_what_can_be_printed_is_left_as_it_is(text: str) -> None:
    assert printable(text) == text


@given(st.text(st.characters(exclude_categories=("Cs",))), st.integers(0, 300))
def test_a_sentence_is_cut_between_letters(text: str, most: int) -> None:
    assert len(sentence(text, most).encode()) <= most
    assert text.startswith(sentence(text, most))


@given(st.lists(st.binary(max_size=50)), st.integers(1, 10), st.integers(1, 200))
def test_parts_that_are_cut_again_and_again_are_all_there(parts: list[bytes], most: int, most_bytes: int) -> None:
    found: list[bytes] = []
    while len(found) < len(parts):
        some = fitting(parts[len(found) :], len, most, most_bytes)
        assert 1 <= len(some) <= most
        assert len(some) == 1 or sum(map(len, some)) <= most_bytes
        found += some
    assert found == parts
