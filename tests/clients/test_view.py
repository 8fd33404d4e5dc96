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
MEASURED = {
    "train_loss": 0.625, "valid_accuracy": 0.5, "images_per_s": 1234.4, "learning_rate": 0.05, "memory_bytes": 3 << 20
}  # fmt: skip
END = {
    "train_loss": 0.25, "valid_accuracy": 0.75, "valid_balanced_accuracy": 0.7, "valid_macro_f1": 0.65,
    "images_per_s": 2345.6, "epochs": 8.0,
}  # fmt: skip


def responses(wall_s: float | None, trials: int | None) -> list[service_pb2.WatchRunResponse]:
    """A trial is proposed, started, measured and ends; then another is rejected, and the run fails."""
    spec = service_pb2.RunSpec(wall_s=wall_s, trials=trials)
    run = service_pb2.Run(name="runs/r1", spec=spec, state=service_pb2.RUN_STATE_TRAINING, wall_s=10.0)
    candidate = synthesizer_pb2.Candidate(graph=graph_to_proto(GRAPH), recipe=synthesizer_pb2.Recipe(epochs=8.0))
    entry = synthesizer_pb2.ProposedCandidate(id="c1", candidate=candidate)
    ended = synthesizer_pb2.TrialEnded(
        candidate="c1", trial="t1", state=synthesizer_pb2.TrialEnded.STATE_SUCCEEDED, metrics=END
    )
    measured = synthesizer_pb2.Measured(trial="t1", epoch=2.5, metrics=MEASURED)
    why = synthesizer_pb2.Diagnostic(summary="too large")
    searches = [
        synthesizer_pb2.Event(proposed=synthesizer_pb2.Proposed(candidates=[entry])),
        synthesizer_pb2.Event(started=synthesizer_pb2.TrialStarted(candidate="c1", trial="t1")),
        synthesizer_pb2.Event(measured=measured),
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


def show(said: list[service_pb2.WatchRunResponse], terminal: bool, width: int = 120) -> str:
    out = io.StringIO()
    follow(said, Console(file=out, force_terminal=terminal, width=width))
    return out.getvalue()


def shown(wall_s: float | None, trials: int | None, terminal: bool) -> str:
    return show(responses(wall_s, trials), terminal)


def test_lines_tell_what_happened() -> None:
    lines = shown(60.0, None, terminal=False).splitlines()
    assert lines == [
        f"t1 succeeded: {PARAMS} parameters, loss 0.2500, validation accuracy 0.7500, "
        "balanced accuracy 0.7000, macro F1 0.6500, 2,346 images/s, 0.0 s",
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


def test_the_table_shows_the_newest_measurement_while_a_trial_trains() -> None:
    table = show(responses(60.0, None)[:4], terminal=True)
    for part in ("training", "2.5/8", "0.6250", "0.5000", "1,234", "0.05", "3 MiB"):
        assert part in table


def test_a_narrow_terminal_shows_what_matters_most() -> None:
    table = show(responses(60.0, None)[:4], terminal=True, width=80)
    assert "1,234" in table
    assert "MiB" not in table


def test_what_was_not_measured_takes_no_words() -> None:
    ended = synthesizer_pb2.TrialEnded(
        trial="t9", state=synthesizer_pb2.TrialEnded.STATE_FAILED, metrics={"train_loss": float("nan"), "epochs": 1.0}
    )
    event = service_pb2.RunEvent(search=synthesizer_pb2.Event(ended=ended))
    assert show([service_pb2.WatchRunResponse(event=event)], terminal=False) == "t9 failed: 0 parameters, 0.0 s\n"


def test_the_final_training_shows_its_own_number_of_epochs() -> None:
    recipe = synthesizer_pb2.Recipe(epochs=40.0)
    final = service_pb2.FinalTraining(trial="t2", of="t1", recipe=recipe)
    events = [
        service_pb2.RunEvent(final_training=final),
        *(
            service_pb2.RunEvent(search=search)
            for search in (
                synthesizer_pb2.Event(started=synthesizer_pb2.TrialStarted(candidate="c1", trial="t2")),
                synthesizer_pb2.Event(measured=synthesizer_pb2.Measured(trial="t2", epoch=20.0, metrics=MEASURED)),
            )
        ),
    ]
    assert "20.0/40" in show([service_pb2.WatchRunResponse(event=event) for event in events], terminal=True)
