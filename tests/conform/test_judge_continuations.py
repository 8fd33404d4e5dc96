"""The kit judges what continues a trial as the engine does, and answers it as the engine would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conform.continuations import RATE, TRIALS, climbed, continuation, first, renamed
from conform.lineages import DEEPER, GIVEN, NARROWEST, WIDER, child, network, root, unplugged
from neunets.canonical import canonical_hash
from neunets.conform.drive import Run
from neunets.conform.trained import Trained
from neunets.graph import Graph, Node
from neunets.morphisms import derive
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.wire import graph_from_proto
from neunets_engine.admission import Admitted, Rules, admit

RULES = Rules(GIVEN.input, GIVEN.classes, None)
SUCCEEDED, STOPPED, FAILED, LOST, TRAINING, CONTINUED = TRIALS
TRIAL = "recipe.resume_trial"


def kit(run: Run, candidate: pb.Candidate) -> tuple[str, str]:
    """Code and path of the refusal; empty where it is admitted."""
    found = run.judge.judge(candidate, run.log.known, run.log.family.parents, run.log.trained.past)
    return found.refusal, found.path


def engine(run: Run, candidate: pb.Candidate) -> tuple[str, str]:
    answer = admit(candidate, RULES, run.log.known, past=run.log.trained.past)
    return ("", "") if isinstance(answer, Admitted) else (answer[0].code, answer[0].path)


WITH_PARENTS, WITH_LINEAGE, WITHOUT_TOTAL = continuation(), continuation(), continuation()
WITH_PARENTS.parents.append("c000001")
WITH_LINEAGE.lineage.extend(child(WIDER).lineage)
WITHOUT_TOTAL.recipe.ClearField("total")
NO_GRAPH = Graph(GIVEN.input, (Node("relu", "activation", ("nobody",), {"function": "relu"}),), "relu")
REFUSED: Mapping[str, tuple[pb.Candidate, tuple[str, str]]] = {
    "unknown trial": (continuation("t999999"), ("BAD_CONTINUATION", TRIAL)),
    "candidate in place of its trial": (continuation("c000001"), ("BAD_CONTINUATION", TRIAL)),
    "trial in training": (continuation(TRAINING), ("BAD_CONTINUATION", TRIAL)),
    "trial that is tried again": (continuation(LOST), ("BAD_CONTINUATION", TRIAL)),
    "failed trial": (continuation(FAILED), ("BAD_CONTINUATION", TRIAL)),
    "trial that is continued already": (continuation(CONTINUED), ("BAD_CONTINUATION", TRIAL)),
    "parents": (WITH_PARENTS, ("BAD_CONTINUATION", "parents")),
    "lineage": (WITH_LINEAGE, ("BAD_CONTINUATION", "lineage")),
    "another graph": (continuation(graph=network(30)), ("BAD_CONTINUATION", "graph")),
    "another graph of a failed trial": (continuation(FAILED, network(30)), ("BAD_CONTINUATION", TRIAL)),
    "what is no graph": (continuation(graph=NO_GRAPH), ("BAD_GRAPH", "relu")),
    "no total": (WITHOUT_TOTAL, ("BAD_CONTINUATION", "recipe.total")),
    "epochs that it has": (continuation(epochs=1.0), ("BAD_CONTINUATION", "recipe.epochs")),
    "seconds that it has": (continuation(device_s=12.5), ("BAD_CONTINUATION", "recipe.device_s")),
    "another learning rate": (
        continuation(epochs=3.0, learning_rate=2 * RATE),
        ("BAD_CONTINUATION", "recipe.learning_rate"),
    ),
    "another schedule": (
        continuation(epochs=3.0, schedule=pb.SCHEDULE_ONE_CYCLE),
        ("BAD_CONTINUATION", "recipe.schedule"),
    ),
}
ADMITTED: Mapping[str, pb.Candidate] = {
    "without a graph": continuation(),
    "with the same graph": continuation(graph=network()),
    "with the same network by other names": continuation(graph=renamed(network())),
    "with the same recipe": continuation(epochs=3.0, learning_rate=RATE, schedule=pb.SCHEDULE_CONSTANT),
    "of a stopped trial": continuation(STOPPED),
    "up to more seconds": continuation(device_s=13.0),
    "up to more steps": continuation(steps=1000),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_continuation_is_refused_with_code_and_path(case: str) -> None:
    candidate, expected = REFUSED[case]
    assert kit(climbed(), candidate) == expected


@pytest.mark.parametrize("case", REFUSED)
def test_the_engine_refuses_the_same(case: str) -> None:
    candidate, expected = REFUSED[case]
    assert engine(climbed(), candidate) == expected


@pytest.mark.parametrize("case", ADMITTED)
def test_a_continuation_is_admitted_and_echoed_with_the_graph_of_its_trial(case: str) -> None:
    run, candidate = climbed(), ADMITTED[case]
    past = run.log.trained.past(candidate.recipe.resume_trial)
    assert past is not None
    (name,) = run.admit("third", [candidate])
    echo = run.log.events[-1].proposed.candidates[0].candidate
    assert graph_from_proto(echo.graph) == graph_from_proto(past.graph)
    assert echo.recipe == candidate.recipe
    assert run.log.digests[name] == canonical_hash(graph_from_proto(past.graph))


@pytest.mark.parametrize("case", ADMITTED)
def test_the_engine_admits_the_same(case: str) -> None:
    run, candidate = climbed(), ADMITTED[case]
    answer = admit(candidate, RULES, run.log.known, past=run.log.trained.past)
    assert isinstance(answer, Admitted)
    assert answer.continued == candidate.recipe.resume_trial
    (name,) = run.admit("third", [candidate])
    assert (answer.digest, answer.recipe) == (run.log.digests[name], begun(run, name).recipe)


def begun(run: Run, name: str) -> Any:
    """The trial of a candidate that is started now."""
    return run.log.trained.past(run.log.started(name))


@st.composite
def asked(draw: st.DrawFn) -> pb.Candidate:
    """Much at once may be wrong with it."""
    total = draw(st.sampled_from(("epochs", "device_s", "steps", None)))
    fields: dict[str, Any] = {total: draw(st.sampled_from((1, 12, 13, 30)))} if total else {"momentum": 0.5}
    fields |= draw(st.fixed_dictionaries({}, optional={"learning_rate": st.sampled_from((RATE, 0.1))}))
    graph = draw(st.sampled_from((None, network(), network(NARROWEST + 1), network(30), NO_GRAPH)))
    candidate = continuation(draw(st.sampled_from((*TRIALS, "t999999"))), graph, **fields)
    candidate.parents.extend(draw(st.sampled_from(((), ("c000001",)))))
    candidate.lineage.extend(draw(st.sampled_from(((), child(WIDER).lineage))))
    return candidate


@pytest.fixture(scope="module")
def run() -> Run:
    return climbed()


@given(candidate=asked())
def test_engine_and_kit_agree_on_whatever_continues_a_trial(run: Run, candidate: pb.Candidate) -> None:
    assert kit(run, candidate) == engine(run, candidate)


def test_the_recipe_comes_before_the_continuation() -> None:
    assert kit(climbed(), continuation("t999999", epochs=3.0, learning_rate=1e9)) == ("BAD_RECIPE", "recipe")


def test_of_one_answer_the_first_continuation_of_a_trial_is_admitted() -> None:
    run = climbed()
    assert run.admit("third", [continuation(), continuation(epochs=9.0)]) == ["c000008"]
    assert (run.judged["c000009"].refusal, run.judged["c000009"].path) == ("BAD_CONTINUATION", TRIAL)
    assert "c000008" in run.judged["c000009"].summary


def test_a_continuation_that_was_refused_leaves_its_trial_free() -> None:
    run = climbed()
    assert run.admit("third", [continuation(epochs=1.0), continuation()]) == ["c000009"]
    assert run.log.trained.past(SUCCEEDED).heir == "c000009"  # type: ignore[union-attr]


def test_who_continues_a_trial_is_told_by_its_trial_once_that_has_begun() -> None:
    run = climbed()
    assert run.log.trained.past(CONTINUED).heir == "c000007"  # type: ignore[union-attr]
    trial = run.log.started("c000007")
    assert run.log.trained.past(CONTINUED).heir == trial  # type: ignore[union-attr]


def test_what_a_continuation_leaves_out_is_of_its_trial() -> None:
    run = climbed()
    (name,) = run.admit("third", [continuation(epochs=3.0)])
    assert begun(run, name).recipe == pb.Recipe(epochs=3.0, learning_rate=RATE, schedule=pb.SCHEDULE_CONSTANT)


def test_a_continuation_is_continued_as_its_trial_was() -> None:
    run = climbed()
    trial = run.log.started("c000007")
    assert kit(run, continuation(trial, epochs=9.0)) == ("BAD_CONTINUATION", TRIAL)
    run.log.ended(trial)
    assert kit(run, continuation(trial, epochs=9.0)) == ("", "")
    assert kit(run, continuation(trial, epochs=3.0)) == ("BAD_CONTINUATION", "recipe.epochs")
    assert kit(run, continuation(trial, epochs=9.0, learning_rate=1.0)) == ("BAD_CONTINUATION", "recipe.learning_rate")


def test_the_network_of_a_continuation_is_still_that_of_the_first_candidate() -> None:
    run = climbed()
    run.admit("third", [continuation()])
    assert run.log.known[canonical_hash(network())] == "c000001"
    assert kit(run, root(NARROWEST)) == ("DUPLICATE", "graph")


def test_a_continuation_has_children() -> None:
    run = climbed()
    run.log.ended(run.log.started("c000007"))
    assert run.admit("third", [child(DEEPER, of="c000007")]) == ["c000008"]
    echo = run.log.events[-1].proposed.candidates[0].candidate
    assert graph_from_proto(echo.graph) == derive(network(NARROWEST + 5), (DEEPER,))


def test_a_network_of_the_users_own_is_continued_too() -> None:
    run = climbed()
    run.log.injected(first(11))
    assert kit(run, continuation("t000007")) == ("", "")


@given(
    answers=st.lists(
        st.lists(st.tuples(st.integers(1, 12), st.sampled_from((1.0, 3.0, 9.0))), min_size=1, max_size=4), max_size=6
    )
)
def test_no_trial_is_continued_twice_and_the_events_say_the_same(answers: list[list[tuple[int, float]]]) -> None:
    run = climbed()
    for number, answer in enumerate(answers):
        candidates = [continuation(f"t{trial:06d}", epochs=epochs) for trial, epochs in answer]
        for name in run.admit(str(number), candidates):
            run.log.ended(run.log.started(name))
    continued = [
        run.log.candidates[name].recipe.resume_trial for name, found in run.judged.items() if not found.refusal
    ]
    continued = [trial for trial in continued if trial]
    assert len(continued) == len(set(continued))
    again = Trained(run.log.events)
    for number in range(1, 13):
        assert again.past(f"t{number:06d}") == run.log.trained.past(f"t{number:06d}")


@given(seed=st.integers(0, 2**64 - 1), channels=st.integers(1, 64), totals=st.lists(st.floats(0.1, 10.0), min_size=1))
def test_the_longer_a_trial_is_continued_the_better_it_is(seed: int, channels: int, totals: list[float]) -> None:
    """Its epochs and seconds count from the first step."""
    run, again = longer(seed, channels, totals), longer(seed, channels, totals)
    ended = [event.ended for event in run.log.events if event.HasField("ended")]
    accuracies = [each.metrics["valid_accuracy"] for each in ended]
    seconds = [each.device_s for each in ended]
    assert accuracies == sorted(set(accuracies))
    assert accuracies[-1] < 1.0
    assert seconds == sorted(set(seconds))
    assert [each.metrics["epochs"] for each in ended] == [
        run.log.candidates[each.candidate].recipe.epochs for each in ended
    ]
    assert run.log.events == again.log.events


def longer(seed: int, channels: int, steps: list[float]) -> Run:
    """A trial that is continued by so many epochs at a time."""
    run, total = unplugged(seed=seed), 1.0
    (name,) = run.admit("first", [first(channels)])
    for number, step in enumerate(steps):
        trial, total = run.log.started(name), total + step
        run.log.ended(trial)
        (name,) = run.admit(str(number), [continuation(trial, epochs=total)])
    run.log.ended(run.log.started(name))
    return run


def test_a_result_can_be_continued_and_a_failure_cannot() -> None:
    ends = {event.ended.trial: event.ended for event in climbed().log.events if event.HasField("ended")}
    left = {trial: sorted(ended.artifacts) for trial, ended in ends.items()}
    assert left[SUCCEEDED] == left[STOPPED] == ["checkpoint", "weights"]
    assert left[FAILED] == left[LOST] == []
    assert ends[SUCCEEDED].artifacts["checkpoint"].sha256 != ends[SUCCEEDED].artifacts["weights"].sha256


def test_a_total_in_seconds_is_what_a_training_takes() -> None:
    run = climbed()
    (name,) = run.admit("third", [continuation(device_s=40.0)])
    run.log.ended(run.log.started(name))
    ended = run.log.events[-1].ended
    assert (ended.device_s, ended.metrics["epochs"]) == (40.0, 4.0)


def test_a_continuation_is_measured_from_the_first_step() -> None:
    run = climbed()
    trial = run.log.started("c000007")
    run.log.measured(trial, 1.0)
    assert run.log.events[-1].measured.epoch == 2.0
