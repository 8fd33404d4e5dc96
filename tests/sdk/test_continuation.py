"""A training goes on as it was, up to a larger total, or the refusal says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from conform.continuations import renamed
from neunets.continuation import Past, continued
from neunets.errors import InvalidGraph
from neunets.graph import DataType, Graph, Input, Node
from neunets.hyperparameters import HYPERPARAMETERS, TOTALS
from neunets.lineage import lineage_to_proto
from neunets.morphisms import Widen
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.wire import graph_to_proto
from strategies import graphs

TRIAL = "t000001"
USED: Mapping[str, float] = {"epochs": 3.0, "device_s": 12.5, "steps": 300}
SCHEDULES = st.sampled_from(pb.Schedule.values())


def network(channels: int = 4) -> Graph:
    image = Input("image", (8, 8, 1), DataType.UINT8, (72.9,), (90.0,))
    nodes = (
        Node("conv", "conv", ("image",), {"channels": channels, "kernel": 3}),
        Node("pool", "global_pool", ("conv",), {"function": "avg"}),
        Node("logits", "linear", ("pool",), {"units": 3}),
    )
    return Graph(image, nodes, "logits")


def past(graph: Graph | None = None, **recipe: Any) -> Past:
    """Trained for three epochs, unless `recipe` says something else."""
    asked = pb.Recipe(**(recipe or {"epochs": 3.0, "learning_rate": 0.05, "schedule": pb.SCHEDULE_CONSTANT}))
    message = graph_to_proto(graph or network())
    return Past(TRIAL, message, asked, has_ended=True, has_checkpoint=True, epochs=3.0, device_s=12.5)


def candidate(graph: Graph | None = None, of: str = TRIAL, **recipe: Any) -> pb.Candidate:
    """Up to nine epochs, unless `recipe` says something else."""
    message = None if graph is None else graph_to_proto(graph)
    return pb.Candidate(graph=message, recipe=pb.Recipe(**(recipe or {"epochs": 9.0}), resume_trial=of))


def refusal(asked: pb.Candidate, found: Past | None) -> pb.Diagnostic:
    answer = continued(asked, {TRIAL: found}.get)
    assert isinstance(answer, pb.Diagnostic)
    return answer


def merged(asked: pb.Candidate, found: Past) -> pb.Recipe:
    answer = continued(asked, {TRIAL: found}.get)
    assert isinstance(answer, tuple), answer
    assert answer[0] is found
    return answer[1]


WITH_PARENTS, WITH_LINEAGE = candidate(), candidate()
WITH_PARENTS.parents.append("c000001")
WITH_LINEAGE.lineage.extend(lineage_to_proto([Widen("conv", 8)]))
PLAIN = past()
REFUSED: Mapping[str, tuple[pb.Candidate, Past | None, str, str]] = {
    "unknown": (candidate(of="t000009"), PLAIN, "recipe.resume_trial", "no trial 't000009'"),
    "in training": (
        candidate(),
        replace(PLAIN, has_ended=False, has_checkpoint=False),
        "recipe.resume_trial",
        "continue it afterwards",
    ),
    "failed": (candidate(), replace(PLAIN, has_checkpoint=False), "recipe.resume_trial", "it left no checkpoint"),
    "continued": (
        candidate(),
        replace(PLAIN, heir="t000004"),
        "recipe.resume_trial",
        "by t000004 already: continue that",
    ),
    "with parents": (WITH_PARENTS, PLAIN, "parents", "leave parents out"),
    "with a lineage": (WITH_LINEAGE, PLAIN, "lineage", "leave lineage out"),
    "of another network": (candidate(network(5)), PLAIN, "graph", "leave it out"),
    "without a total": (candidate(learning_rate=0.05), PLAIN, "recipe.total", "say up to how many"),
    "no longer": (candidate(epochs=3.0), PLAIN, "recipe.epochs", "counts from its first step"),
    "at another rate": (candidate(epochs=9.0, learning_rate=0.1), PLAIN, "recipe.learning_rate", "leave it out"),
    "by another schedule": (
        candidate(epochs=9.0, schedule=pb.SCHEDULE_ONE_CYCLE),
        PLAIN,
        "recipe.schedule",
        "leave it out",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_its_path_and_says_what_to_do(case: str) -> None:
    asked, found, path, says = REFUSED[case]
    answer = refusal(asked, found)
    assert (answer.code, answer.path) == ("BAD_CONTINUATION", path)
    assert answer.severity == pb.Diagnostic.SEVERITY_ERROR
    assert says in answer.summary


@given(name=st.text(min_size=1))
def test_a_trial_that_the_run_has_not_is_refused_in_few_words(name: str) -> None:
    assume(name != TRIAL)
    answer = refusal(candidate(of=100 * name), PLAIN)
    assert answer.path == "recipe.resume_trial"
    assert len(answer.summary) <= 256


@given(graph=graphs())
def test_the_network_is_the_same_by_whatever_names(graph: Graph) -> None:
    assert merged(candidate(renamed(graph)), past(graph)) == merged(candidate(), past(graph))


def test_what_is_no_graph_is_an_invalid_one() -> None:
    source = network()
    no_input = Node("conv", "conv", ("nobody",), {"channels": 4, "kernel": 3})
    for broken in (replace(source, nodes=(no_input, *source.nodes[1:])), replace(source, output="nobody")):
        with pytest.raises(InvalidGraph):
            continued(candidate(broken), {TRIAL: PLAIN}.get)


def values(name: str) -> st.SearchStrategy[Any]:
    """Of a hyper-parameter, within its range."""
    entry = HYPERPARAMETERS[name]
    if isinstance(entry.usual, bool):
        return st.booleans()
    if isinstance(entry.usual, int):
        return st.integers(int(entry.low), int(entry.high))
    return st.floats(entry.low, entry.high)


def recipes() -> st.SearchStrategy[dict[str, Any]]:
    """Any part of one, but for its total."""
    return st.fixed_dictionaries(
        {}, optional={name: values(name) for name in HYPERPARAMETERS} | {"schedule": SCHEDULES}
    )


def totals() -> st.SearchStrategy[tuple[str, float]]:
    """Larger than what was used."""
    fractions = st.tuples(st.sampled_from(("epochs", "device_s")), st.floats(12.6, 1e5))
    return fractions | st.tuples(st.just("steps"), st.integers(301, 10**9))


@given(recipe=recipes(), before=st.sampled_from(sorted(USED.items())), total=totals(), said=st.sets(st.integers(0, 20)))
def test_a_training_goes_on_as_it_was_up_to_the_new_total(
    recipe: dict[str, Any], before: tuple[str, float], total: tuple[str, float], said: set[int]
) -> None:
    """Whatever of its recipe is said again."""
    found = past(**recipe, **dict([before]))
    again = {name: value for number, (name, value) in enumerate(recipe.items()) if number in said}
    assert merged(candidate(**again, **dict([total])), found) == pb.Recipe(**recipe, **dict([total]))
    assert found.recipe == pb.Recipe(**recipe, **dict([before]))


@given(recipe=recipes(), name=st.sampled_from(sorted(HYPERPARAMETERS)), data=st.data())
def test_nothing_else_of_a_training_changes(recipe: dict[str, Any], name: str, data: st.DataObject) -> None:
    before, after = data.draw(values(name)), data.draw(values(name))
    assume(before != after)
    found = past(**(recipe | {name: before}), epochs=3.0)
    answer = refusal(candidate(**(recipe | {name: after}), epochs=9.0), found)
    assert answer.path == f"recipe.{name}"


@pytest.mark.parametrize("total", TOTALS)
@given(data=st.data())
def test_a_total_is_larger_than_what_was_used(total: str, data: st.DataObject) -> None:
    numbers = st.integers(0, 300) if total == "steps" else st.floats(0.0, USED[total])
    asked = candidate(**{total: data.draw(numbers)})
    answer = refusal(asked, past(steps=300))
    assert answer.path == f"recipe.{total}"
    assert "has" in answer.summary
