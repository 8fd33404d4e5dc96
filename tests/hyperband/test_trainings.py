"""What the fold makes of each event."""

from __future__ import annotations

import math

import pytest

from fakes import network
from hyperband.climbs import PIXELS
from neunets.canonical import canonical_hash
from neunets.synthesizer import (
    Candidate,
    Event,
    Injected,
    Measured,
    Proposed,
    Recipe,
    Rejected,
    TrialEnded,
    TrialStarted,
    TrialState,
)
from neunets_hyperband.ladder import Ladder
from neunets_hyperband.settings import Mode
from neunets_hyperband.trainings import BRACKET, LADDER, RUNG, Status, Training, Trainings

METRIC = "valid_accuracy"
LABELS = {RUNG: "0", BRACKET: "0", LADDER: "asha 1 3 9"}


def fresh(units: int) -> Candidate:
    return Candidate(network(PIXELS, 3, units), Recipe(epochs=1.0), labels=LABELS | {"space": "plain", "network": "00"})


def higher(trial: str) -> Candidate:
    recipe = Recipe(epochs=3.0, resume_trial=trial)
    return Candidate(network(PIXELS, 3, 4), recipe, labels=LABELS | {RUNG: "1"})


def ended(
    name: str, value: float = 0.5, state: TrialState = TrialState.SUCCEEDED, epochs: float = 1.0, retries: bool = False
) -> TrialEnded:
    return TrialEnded(name, f"t-{name}", state, {METRIC: value, "epochs": epochs}, 2.0 * epochs, retries)


def trainings(*events: Event) -> Trainings:
    found = Trainings(METRIC)
    for event in (Proposed((("a", fresh(4)), ("b", fresh(5)))), TrialStarted("a", "t-a", 1), *events):
        found.apply(event)
    return found


def named(found: Trainings, name: str) -> Training:
    return next(each for each in found.all if each.candidate == name)


def test_what_was_proposed_is_open_and_known() -> None:
    found = trainings()
    assert found.ladder == Ladder(Mode.ASHA, (1.0, 3.0, 9.0))
    assert (found.proposed, found.is_open) == (2, True)
    assert found.known == {canonical_hash(network(PIXELS, 3, units)) for units in (4, 5)}
    assert named(found, "a").design == {"space": "plain", "network": "00"}


def test_a_result_may_train_on() -> None:
    found = named(trainings(ended("a", 0.7)), "a")
    assert (found.status, found.value, found.device_s, found.epochs) == (Status.ENDED, 0.7, 2.0, 1.0)
    assert found.is_ready


def test_a_trial_that_was_stopped_may_train_on() -> None:
    assert named(trainings(ended("a", state=TrialState.STOPPED)), "a").is_ready


@pytest.mark.parametrize(
    "end",
    [
        ended("a", math.nan),
        ended("a", math.inf),
        ended("a", state=TrialState.FAILED),
        ended("a", state=TrialState.INFEASIBLE),
        ended("a", state=TrialState.LOST),
        ended("a", state=TrialState.UNKNOWN),
    ],
)
def test_what_failed_is_the_worst(end: TrialEnded) -> None:
    found = named(trainings(end), "a")
    assert (found.status, found.value, found.is_ready) == (Status.ENDED, -math.inf, False)


def test_a_lost_trial_that_is_tried_again_has_not_ended() -> None:
    found = trainings(ended("a", state=TrialState.LOST, retries=True))
    assert named(found, "a").status is Status.OPEN
    found.apply(ended("a", 0.8))
    assert named(found, "a").value == 0.8


@pytest.mark.parametrize("event", [Rejected("a", ()), ended("a", state=TrialState.CANCELLED)])
def test_what_was_rejected_or_cancelled_takes_no_place(event: Event) -> None:
    assert named(trainings(event), "a").status is Status.VOID


def test_a_continuation_is_the_same_network() -> None:
    found = trainings(ended("a", 0.7), Proposed((("c", higher("t-a")),)))
    assert not named(found, "a").is_ready
    assert (named(found, "c").network, named(found, "c").rung) == ("a", 1)
    found.apply(ended("c", 0.8, epochs=3.0))
    assert named(found, "c").is_ready
    assert found.curves["a"] == {1.0: 0.7, 3.0: 0.8}


def test_measurements_are_of_the_network() -> None:
    found = trainings(
        Measured("t-a", 0.5, {METRIC: 0.3}),
        Measured("t-a", 0.7, {"train_loss": 1.0}),
        Measured("t-a", 0.8, {METRIC: math.nan}),
        Measured("another", 0.9, {METRIC: 0.9}),
        ended("a", 0.7),
        Measured("t-a", 2.0, {METRIC: 0.9}),
    )
    assert found.curves == {"a": {0.5: 0.3, 1.0: 0.7}}


def test_the_first_end_counts() -> None:
    final = TrialEnded("a", "final", TrialState.SUCCEEDED, {METRIC: 0.9}, 9.0, False)
    found = trainings(ended("a", 0.5), TrialStarted("a", "final", 1), final)
    assert named(found, "a").value == 0.5
    assert named(found, "a").trial == "t-a"


def test_a_users_network_is_known_and_on_no_rung() -> None:
    found = trainings(Injected("mine", Candidate(network(PIXELS, 3, 9))), ended("mine"))
    assert canonical_hash(network(PIXELS, 3, 9)) in found.known
    assert [each.candidate for each in found.all] == ["a", "b"]


def test_a_copy_changes_nothing() -> None:
    found = trainings(ended("a", 0.7))
    copy = found.copied()
    copy.apply(Proposed((("c", higher("t-a")), ("d", fresh(6)))))
    assert named(found, "a").is_ready
    assert (found.proposed, len(found.all), len(found.known)) == (2, 2, 2)
    assert (copy.proposed, len(copy.all), len(copy.known)) == (4, 4, 3)
