"""What a run says of its state."""

from __future__ import annotations

import pytest

from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.words import ending_words, nothing_trained, pausing_words, verdict_words

VERDICTS = synthesizer_pb2.AssessResponse


@pytest.mark.parametrize("why", ["it failed", "it failed: start it, then `neunets resume RUN`", "x" * 10_000])
def test_a_pause_ends_with_the_command_that_goes_on(why: str) -> None:
    words = pausing_words("r1", why)
    assert words.endswith("`neunets resume r1`")
    assert words.count("resume") == 1
    assert len(words) < 700


@pytest.mark.parametrize(
    ("verdict", "reason", "words"),
    [
        (VERDICTS.VERDICT_CONVERGED, "good enough", "converged: good enough"),
        (VERDICTS.VERDICT_CANNOT_MEET, "", "cannot meet"),
        (VERDICTS.VERDICT_CONTINUE, "rung 2 of 3", "rung 2 of 3"),
        (VERDICTS.VERDICT_CONTINUE, "", ""),
    ],
)
def test_a_verdict_is_said_with_its_reason(verdict: VERDICTS.Verdict.ValueType, reason: str, words: str) -> None:
    assert verdict_words(VERDICTS(verdict=verdict, reason=reason)) == words


def test_a_search_says_why_it_is_over() -> None:
    run = service_pb2.Run(spec=service_pb2.RunSpec(synthesizer="odd", trials=2, wall_s=9.0))
    assert ending_words(store_pb2.RunRecord(run=run)) == "the time of its search is used"
    run.trials_ended = 2
    assert ending_words(store_pb2.RunRecord(run=run)) == "the 2 trials of its budget are made"
    assert ending_words(store_pb2.RunRecord(run=run, search_end="exhausted: no more")) == "exhausted: no more"


def test_a_run_without_a_network_says_what_its_synthesizer_said() -> None:
    record = store_pb2.RunRecord(run=service_pb2.Run(spec=service_pb2.RunSpec(synthesizer="odd")), waits_for="a sign")
    assert nothing_trained(record, []).endswith("; odd said last: a sign")
    record.search_end = "odd has not answered within the run's time"
    assert nothing_trained(record, []) == "no network was trained: odd has not answered within the run's time"
