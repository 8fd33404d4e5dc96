"""A stream that is read in the background: in order, to its end, through interrupts."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import pytest

from neunets_client.interruptible import Interruptible


def test_items_come_in_order_and_end() -> None:
    taken = Interruptible(range(1000))
    assert list(taken) == list(range(1000))
    assert list(taken) == []


def test_an_error_of_the_stream_is_its_readers() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("gone")

    taken = Interruptible(broken())
    assert next(taken) == 1
    for _ in range(2):
        with pytest.raises(KeyError, match="gone"):
            next(taken)


def test_it_goes_on_after_an_interrupt() -> None:
    is_open = Event()

    def slow() -> Iterator[int]:
        yield 1
        is_open.wait()
        yield 2

    taken, seen = Interruptible(slow()), list[int]()
    try:
        for item in taken:
            seen.append(item)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        is_open.set()
    assert [*seen, *taken] == [1, 2]
