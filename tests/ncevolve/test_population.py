"""Who may be a parent, and who is chosen."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fakes import network
from ncevolve.evolutions import PIXELS
from neunets.canonical import canonical_hash
from neunets.cost import cost
from neunets.morphisms import Widen
from neunets.synthesizer import Candidate, Injected, Proposed, Rejected, TrialEnded, TrialStarted, TrialState
from neunets_ncevolve.population import ORIGIN, Individual, Population, selected

METRIC = "valid_accuracy"


def root(number: int) -> Candidate:
    return Candidate(network(PIXELS, 3, 4 + number), labels={ORIGIN: "the template"})


def child(parent: str) -> Candidate:
    return Candidate(None, parents=(parent,), lineage=(Widen("hidden", 9),))


def ended(
    name: str, value: float = 0.5, state: TrialState = TrialState.SUCCEEDED, will_retry: bool = False
) -> TrialEnded:
    return TrialEnded(name, f"t-{name}", state, {METRIC: value, "images_per_s": 100.0}, 2.0, will_retry)


def population(*events: Proposed | Injected | Rejected | TrialEnded | TrialStarted) -> Population:
    found = Population(METRIC)
    found.apply(Proposed((("a", root(0)), ("b", root(1)))))
    for event in events:
        found.apply(event)
    return found


def test_a_trained_network_is_a_parent_with_its_speed() -> None:
    found = population(TrialStarted("a", "t-a", 1), ended("a"))
    (parent,) = found.trained
    assert (parent.id, parent.fitness, parent.origin) == ("a", 0.5, "the template")
    assert parent.speed == 300.0 * cost(network(PIXELS, 3, 4)).flops
    assert (found.proposed, found.roots, found.device_s, found.is_training) == (2, 2, 2.0, True)


@pytest.mark.parametrize("metrics", [{METRIC: 0.5}, {METRIC: 0.5, "images_per_s": math.nan}])
def test_a_speed_may_be_unknown(metrics: dict[str, float]) -> None:
    found = population(replace(ended("a"), metrics=metrics))
    assert [(each.fitness, each.speed) for each in found.trained] == [(0.5, 0.0)]


def test_a_trial_that_was_stopped_leaves_weights() -> None:
    assert [each.id for each in population(ended("a", state=TrialState.STOPPED)).trained] == ["a"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_result_that_is_no_number_is_no_parent(value: float) -> None:
    assert not population(ended("a", value)).trained


@pytest.mark.parametrize(
    "state", [state for state in TrialState if state not in (TrialState.SUCCEEDED, TrialState.STOPPED)]
)
def test_what_failed_is_no_parent(state: TrialState) -> None:
    found = population(ended("a", state=state), ended("b", state=state))
    assert not found.trained
    assert not found.is_training


def test_a_trial_that_is_tried_again_goes_on() -> None:
    lost = population(ended("a", state=TrialState.LOST, will_retry=True), ended("b"))
    assert lost.is_training
    lost.apply(ended("a", 0.7))
    assert [each.fitness for each in lost.trained] == [0.5, 0.7]


def test_the_first_end_counts() -> None:
    assert [each.fitness for each in population(ended("a", 0.5), ended("a", 0.9)).trained] == [0.5]


def test_a_users_network_joins() -> None:
    found = population(Injected("c", Candidate(network(PIXELS, 3, 30))), ended("c"))
    assert [(each.id, each.origin) for each in found.trained] == [("c", "injected")]
    assert (found.proposed, found.roots) == (2, 2)


def test_what_was_rejected_is_known_and_does_not_train() -> None:
    found = population(ended("a"), ended("b"), Proposed((("c", child("a")),)))
    assert found.is_training
    found.apply(Rejected("c", (("OVER_CONSTRAINT", "activation_bytes", "too many"),)))
    assert not found.is_training
    assert canonical_hash(Widen("hidden", 9).apply(network(PIXELS, 3, 4))) in found.known
    assert [each.id for each in found.trained] == ["a", "b"]


def test_whose_weights_are_gone_is_no_parent_any_more() -> None:
    found = population(ended("a"), ended("b"), Proposed((("c", child("a")),)))
    found.apply(Rejected("c", (("BAD_PARENT", "parents[0]", "no weights"),)))
    assert [each.id for each in found.trained] == ["b"]


@pytest.mark.parametrize(("fraction", "share"), [(0.0, 2 / 10), (0.5, 1 - 0.9**5), (1.0, 1 - 0.9**10)])
def test_the_best_of_a_tournament_is_the_parent(fraction: float, share: float) -> None:
    """`share`: how often the best of ten is drawn at all, with replacement."""
    graph, rng = network(PIXELS, 3, 4), np.random.default_rng(0)
    individuals = [Individual(str(number), graph, "", fitness=number / 10) for number in range(10)]
    found = Counter(selected(individuals, fraction, rng).id for _ in range(2000))
    assert found["9"] / 2000 == pytest.approx(share, abs=0.03)
