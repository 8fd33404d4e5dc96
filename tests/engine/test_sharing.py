"""Whose trial a free worker gets, where several runs are open."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from neunets_engine.sharing import MOST_EXTRA, WaitingTrials


def test_one_run_has_all_slots_and_keeps_its_order() -> None:
    waiting = WaitingTrials(2)
    waiting.open("a")
    waiting.add("a", "t1", "t2", "t3")
    waiting.add("a", "t2", "t4")
    assert (waiting.share, waiting.workers, waiting.of("a")) == (2, 2, 4)
    assert waiting.turn({"a": 2}) == "a"
    assert waiting.take("a", 3) == ["t1", "t2", "t3"]
    waiting.put_back("a", "t3")
    assert waiting.take("a", 9) == ["t3", "t4"]
    assert not waiting
    assert waiting.turn({}) is None


def test_a_run_without_a_worker_comes_first_and_the_earliest_deadline_among_equals() -> None:
    waiting = WaitingTrials(4)
    for run_id, deadline in (("a", 9.0), ("b", 3.0), ("c", 5.0)):
        waiting.open(run_id, deadline)
        waiting.add(run_id, "t1", "t2")
    assert waiting.turn({}) == "b"
    assert waiting.turn({"b": 1}) == "c"
    assert waiting.turn({"b": 1, "c": 1, "a": 2}) is None
    waiting.close("b")
    waiting.close("c")
    assert waiting.turn({"a": 3}) == "a"


@given(
    slots=st.integers(1, 6),
    steps=st.lists(st.tuples(st.sampled_from(["open", "end", "lease"]), st.integers(0, 5)), max_size=80),
)
def test_each_run_has_a_worker_whatever_the_others_keep(slots: int, steps: list[tuple[str, int]]) -> None:
    """Trials never end by themselves here: a run that comes later finds the workers taken, and still gets one."""
    waiting, held = WaitingTrials(slots), Counter[str]()
    for what, number in steps:
        run_id = f"r{number}"
        if what == "open":
            waiting.open(run_id)
            waiting.add(run_id, *(f"t{each}" for each in range(9)))
        elif what == "end":
            waiting.close(run_id)
            held.pop(run_id, None)
        while what == "lease" and held.total() < waiting.workers and (turn := waiting.turn(held)) is not None:
            waiting.take(turn, 1)
            held[turn] += 1
    opened = [f"r{number}" for number in range(6) if waiting.of(f"r{number}") or held[f"r{number}"]]
    while held.total() < waiting.workers and (turn := waiting.turn(held)) is not None:
        waiting.take(turn, 1)
        held[turn] += 1
    assert len(opened) <= MOST_EXTRA
    assert all(held[run_id] for run_id in opened)
