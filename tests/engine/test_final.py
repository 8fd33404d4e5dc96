"""Which trainings end a run, decided from what the store holds."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.final import FinalPlan, winner

METRIC = "valid_macro_f1"
ENDED = synthesizer_pb2.TrialEnded
Trial = store_pb2.TrialRecord
# Few values, so that some are equal.
FIGURES = st.sampled_from((0.0, 0.25, 0.5, 0.75, 1.0, math.nan))


def a_trial(
    name: str, metrics: Mapping[str, float] | None = None, state: ENDED.State.ValueType = ENDED.STATE_SUCCEEDED
) -> Trial:
    """Ended, with a recipe and weights of its own."""
    trial = Trial(run="r1", trial=name, candidate="c7", params=30, flops=40, activation_bytes=50, accumulate=2)
    trial.graph.output = "logits"
    trial.rationale = "wider"
    trial.asked.learning_rate = 0.3
    trial.asked.epochs = 4.0
    trial.recipe.CopyFrom(trial.asked)
    trial.recipe.momentum = 0.8
    trial.state = service_pb2.TRIAL_STATE_ENDED
    trial.result.state = state
    trial.result.metrics.update(metrics or {})
    if state in (ENDED.STATE_SUCCEEDED, ENDED.STATE_STOPPED):
        trial.result.artifacts["weights"].sha256 = f"weights of {name}"
    return trial


@st.composite
def trials(draw: st.DrawFn, name: str = "t000001", *, has_failed: bool | None = None) -> Trial:
    """With any figures, or none."""
    names = st.sampled_from((METRIC, "valid_loss", "valid_accuracy"))
    failed = draw(st.booleans()) if has_failed is None else has_failed
    ends = (ENDED.STATE_INFEASIBLE, ENDED.STATE_FAILED) if failed else (ENDED.STATE_SUCCEEDED, ENDED.STATE_STOPPED)
    return a_trial(name, draw(st.dictionaries(names, FIGURES)), draw(st.sampled_from(ends)))


@st.composite
def finals(draw: st.DrawFn) -> list[Trial]:
    return [draw(trials(f"t{number:06d}")) for number in range(5, 5 + draw(st.integers(0, 3)))]


def a_plan(best: Trial | None = None, made: int = 4, slots: int = 8) -> FinalPlan:
    return FinalPlan(best or a_trial("t000002", {METRIC: 0.5}), made, slots, METRIC)


def kept(plan: FinalPlan, ended: list[Trial]) -> str:
    """Whose weights are measured on the test set."""
    (closing,) = plan.next(ended, trains=True, both=True)
    return closing.incumbent.sha256.removeprefix("weights of ")


def worth(trial: Trial) -> tuple[float, float]:
    figures = trial.result.metrics
    found = (figures.get(METRIC, -math.inf), -figures.get("valid_loss", math.inf))
    return (-math.inf, -math.inf) if any(map(math.isnan, found)) else found


def test_with_little_time_the_winner_is_trained_on_with_every_thread() -> None:
    (trial,) = a_plan().next([], trains=True, both=False)
    assert (trial.continues, trial.closes, trial.threads) == (True, True, 8)
    assert trial.incumbent.sha256 == "weights of t000002"


@given(slots=st.integers(1, 64))
def test_with_enough_time_it_is_trained_on_and_anew_with_half_of_them_each(slots: int) -> None:
    on, anew = a_plan(slots=slots).next([], trains=True, both=True)
    assert (on.continues, anew.continues) == (True, False)
    assert not on.closes
    assert not anew.closes
    assert on.threads == anew.threads == max(1, slots // 2)
    assert on.incumbent.sha256 == anew.incumbent.sha256 == "weights of t000002"


@pytest.mark.parametrize("both", [False, True])
def test_a_final_training_is_asked_for_what_the_synthesizer_asked_but_its_length(both: bool) -> None:
    for trial in a_plan().next([], trains=True, both=both):
        assert trial.recipe == synthesizer_pb2.Recipe(learning_rate=0.3)


@given(ended=finals(), both=st.booleans())
def test_without_time_for_training_the_best_is_only_evaluated(ended: list[Trial], both: bool) -> None:
    (trial,) = a_plan().next(ended, trains=False, both=both)
    assert (trial.continues, trial.closes, trial.threads) == (False, True, 8)
    assert trial.recipe.WhichOneof("total") == "epochs"
    assert trial.recipe.epochs == 0.0


def test_the_evaluation_has_the_recipe_of_what_is_evaluated() -> None:
    final = a_trial("t000005", {METRIC: 0.9})
    final.recipe.test_mirror = True
    (closing,) = a_plan().next([final], trains=True, both=True)
    expected = synthesizer_pb2.Recipe(learning_rate=0.3, momentum=0.8, test_mirror=True, epochs=0.0)
    assert closing.recipe == expected


@given(best=trials("t000002", has_failed=False), ended=finals())
def test_the_best_of_search_and_final_trainings_is_exported(best: Trial, ended: list[Trial]) -> None:
    results = [trial for trial in ended if "weights" in trial.result.artifacts]
    first = max([best, *results], key=worth)  # of equals
    assert kept(a_plan(best), ended or [a_trial("t000005", state=ENDED.STATE_FAILED)]) == first.trial


@given(metric=FIGURES, loss=FIGURES)
def test_what_is_no_number_never_wins(metric: float, loss: float) -> None:
    ended = a_trial("t000005", {METRIC: metric, "valid_loss": loss})
    has_nan = math.isnan(metric) or math.isnan(loss)
    rival = a_trial("t000006", {METRIC: 0.0, "valid_loss": 2.0})
    for order in ([ended, rival], [rival, ended]):
        nothing = a_trial("t000002")
        assert kept(a_plan(nothing), order) == ("t000006" if has_nan else "t000005")
        assert kept(a_plan(ended), [rival]) == ("t000006" if has_nan else "t000005")


def test_of_equally_good_ones_the_surer_is_exported() -> None:
    best = a_trial("t000002", {METRIC: 0.5, "valid_loss": 0.4})
    assert kept(a_plan(best), [a_trial("t000005", {METRIC: 0.5, "valid_loss": 0.3})]) == "t000005"
    assert kept(a_plan(best), [a_trial("t000005", {METRIC: 0.5, "valid_loss": 0.4})]) == "t000002"


def test_failed_final_trainings_leave_the_best_of_the_search() -> None:
    failed = [a_trial(name, {METRIC: 1.0}, ENDED.STATE_FAILED) for name in ("t000005", "t000006")]
    assert kept(a_plan(), failed) == "t000002"


@given(made=st.integers(1, 10**5), ended=finals(), trains=st.booleans(), both=st.booleans())
def test_final_trials_go_on_with_the_runs_numbers(made: int, ended: list[Trial], trains: bool, both: bool) -> None:
    planned = a_plan(made=made).next(ended, trains, both)
    assert [trial.trial for trial in planned] == [f"t{made + 1 + number:06d}" for number in range(len(planned))]


@given(best=trials("t000002", has_failed=False), ended=finals(), trains=st.booleans(), both=st.booleans())
def test_a_final_trial_is_of_the_winners_network_and_waits(
    best: Trial, ended: list[Trial], trains: bool, both: bool
) -> None:
    same = ("run", "candidate", "graph", "asked", "params", "flops", "activation_bytes", "rationale", "accumulate")
    for trial in a_plan(best).next(ended, trains, both):
        assert {name: getattr(trial, name) for name in same} == {name: getattr(best, name) for name in same}
        assert trial.final_of == best.trial
        assert (trial.state, trial.attempt) == (service_pb2.TRIAL_STATE_WAITING, 0)
        assert not trial.HasField("result")


@given(best=trials("t000002", has_failed=False), ended=finals(), trains=st.booleans(), both=st.booleans())
def test_a_plan_changes_nothing_and_decides_alike_again(
    best: Trial, ended: list[Trial], trains: bool, both: bool
) -> None:
    def seen() -> list[bytes]:
        return [trial.SerializeToString(deterministic=True) for trial in (best, *ended)]

    before, plan = seen(), a_plan(best)
    first, again = plan.next(ended, trains, both), plan.next(ended, trains, both)
    assert first == again
    assert seen() == before


def searched(number: int, value: float, epochs: float, *, parent: str = "") -> Trial:
    trial = a_trial(f"t{number:06d}", {METRIC: value, "epochs": epochs})
    if parent:
        trial.parent = parent
        trial.lineage.add(kind="widen")
    return trial


def test_of_networks_that_are_equal_within_the_error_the_one_that_learns_the_most_from_an_example_wins() -> None:
    small, large, worse = searched(1, 0.92, 4.0), searched(2, 0.918, 1.5), searched(3, 0.9, 0.5)
    assert winner([small, large, worse], small, METRIC, 6000).trial == "t000002"
    assert winner([small, large, worse], small, METRIC, 10**6).trial == "t000001"


def test_what_was_inherited_has_been_seen() -> None:
    root, child = searched(1, 0.918, 3.0), searched(2, 0.92, 1.0, parent="t000001")
    assert winner([root, child], child, METRIC, 6000).trial == "t000001"
    assert winner([searched(1, 0.9, 3.0), child], child, METRIC, 6000).trial == "t000002"


@given(
    results=st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 9.0)), min_size=1, max_size=9),
    rows=st.integers(0, 10**6),
)
def test_no_winner_is_worse_than_the_best_by_more_than_the_error(results: list[tuple[float, float]], rows: int) -> None:
    trials = [searched(number, *result) for number, result in enumerate(results, 1)]
    best = max(trials, key=lambda trial: trial.result.metrics[METRIC])
    found, top = winner(trials, best, METRIC, rows), best.result.metrics[METRIC]
    assert found.result.metrics[METRIC] >= top - math.sqrt(top * (1.0 - top) / max(rows, 1))
    assert found.result.metrics["epochs"] <= best.result.metrics["epochs"]


def test_a_child_asks_for_the_rates_of_its_own_short_training_alone() -> None:
    child = searched(1, 0.92, 1.0, parent="t000009")
    child.asked.weight_decay = 0.01
    child.asked.schedule = synthesizer_pb2.SCHEDULE_COSINE_RESTARTS
    (trial,) = a_plan(child).next([], trains=True, both=False)
    assert trial.recipe == synthesizer_pb2.Recipe(weight_decay=0.01)
