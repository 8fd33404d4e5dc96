"""When a synthesizer that asked to wait is asked again."""

from __future__ import annotations

from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.waiting import LONGEST_S, MOST_BACK_OFF_S, SHORTEST_S, Rest


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def wait(results: int = 0, after_s: float = 0.0, reason: str = "") -> synthesizer_pb2.Wait:
    answer = synthesizer_pb2.Wait(min_new_results=results, reason=reason)
    answer.after.FromNanoseconds(int(1e9 * after_s))
    return answer


def test_a_plugin_is_asked_again_after_as_many_results_as_it_wants() -> None:
    rest = Rest(Clock())
    rest.begin(wait(results=3), results=5)
    assert [rest.is_over(results) for results in (5, 7, 8)] == [False, False, True]
    rest.begin(wait(), results=5)
    assert [rest.is_over(results) for results in (5, 6)] == [False, True]


def test_a_plugin_is_asked_again_after_as_much_time_as_it_wants() -> None:
    clock = Clock()
    rest = Rest(clock)
    rest.begin(wait(results=9, after_s=2.0), results=0)
    assert rest.left_s() == 2.0
    assert not rest.is_over(0)
    clock.now += 2.0
    assert rest.is_over(0)


def test_no_plugin_waits_for_ever_with_nothing_training() -> None:
    rest = Rest(Clock())
    rest.begin(wait(after_s=1e9), results=0)
    assert rest.idle_s() == LONGEST_S


def test_a_plugin_that_waits_again_and_again_is_asked_ever_more_rarely() -> None:
    for after_s in (-5.0, 0.0, 1e-6):
        rest, pauses = Rest(Clock()), []
        for _ in range(12):
            rest.begin(wait(after_s=after_s), results=0)
            pauses.append(round(rest.idle_s(), 3))
        assert pauses == sorted(pauses)
        assert (pauses[0], pauses[-1]) == (SHORTEST_S, MOST_BACK_OFF_S)
        rest.end()
        rest.begin(wait(after_s=after_s), results=0)
        assert round(rest.idle_s(), 3) == SHORTEST_S


def test_a_reason_is_news_once() -> None:
    rest = Rest(Clock())
    told = [rest.begin(wait(reason=reason), results=0) for reason in ("", "one", "one", "two")]
    assert told == [False, True, False, True]
