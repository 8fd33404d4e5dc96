"""A run on the screen: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fakes import IMAGE, network
from neunets.cost import cost
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_to_proto
from neunets_client.view import follow

GRAPH = network(IMAGE, 3, 8)
PARAMS = f"{cost(GRAPH).params:,}"


def responses(wall_s: float | None, trials: int | None) -> list[service_pb2.WatchRunResponse]:
    """A trial is proposed, started, measured and ends; then another is rejected, and the run fails."""
    spec = service_pb2.RunSpec(wall_s=wall_s, trials=trials)
    run = service_pb2.Run(name="runs/r1", spec=spec, state=service_pb2.RUN_STATE_TRAINING, wall_s=10.0)
    entry = synthesizer_pb2.ProposedCandidate(id="c1", candidate=synthesizer_pb2.Candidate(graph=graph_to_proto(GRAPH)))
    ended = synthesizer_pb2.TrialEnded(
        candidate="c1", trial="t1", state=synthesizer_pb2.TrialEnded.STATE_SUCCEEDED, metrics={"valid_accuracy": 0.75}
    )
    why = synthesizer_pb2.Diagnostic(summary="too large")
    searches = [
        synthesizer_pb2.Event(proposed=synthesizer_pb2.Proposed(candidates=[entry])),
        synthesizer_pb2.Event(started=synthesizer_pb2.TrialStarted(candidate="c1", trial="t1")),
        synthesizer_pb2.Event(measured=synthesizer_pb2.Measured(trial="t1", metrics={"valid_accuracy": 0.5})),
        synthesizer_pb2.Event(ended=ended),
        synthesizer_pb2.Event(rejected=synthesizer_pb2.Rejected(candidate="c2", why=[why])),
    ]
    events = [service_pb2.RunEvent(seq=number, search=search) for number, search in enumerate(searches, 1)]
    over = service_pb2.StateChanged(to=service_pb2.RUN_STATE_FAILED, reason="nothing left")
    best = service_pb2.Run()
    best.CopyFrom(run)
    best.best_metric, best.best_trial, best.trials_ended = 0.75, "t1", 1
    return [
        service_pb2.WatchRunResponse(run=run),  # a heartbeat
        *(service_pb2.WatchRunResponse(event=event, run=best) for event in events),
        service_pb2.WatchRunResponse(event=service_pb2.RunEvent(seq=6, state_changed=over), run=best),
    ]


def shown(wall_s: float | None, trials: int | None, terminal: bool) -> str:
    out = io.StringIO()
    follow(responses(wall_s, trials), Console(file=out, force_terminal=terminal, width=120))
    return out.getvalue()


def test_lines_tell_what_happened() -> None:
    lines = shown(60.0, None, terminal=False).splitlines()
    assert lines == [
        f"t1 succeeded: {PARAMS} parameters, validation accuracy 0.7500, 0.0 s",
        "c2 was rejected: too large",
        "FAILED: nothing left",
    ]


@pytest.mark.parametrize(
    ("wall_s", "trials", "words"),
    [(60.0, None, "50 s left of 60"), (None, 5, "trial 1 of 5"), (None, 5, "ETA 40 s")],
)
def test_the_table_shows_the_best_and_what_is_left(wall_s: float | None, trials: int | None, words: str) -> None:
    table = shown(wall_s, trials, terminal=True)
    for part in ("best 0.7500", PARAMS, "succeeded", words, "c2 was rejected: too large"):
        assert part in table
