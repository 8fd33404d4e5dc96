"""The kit judges what comes from a parent as the engine does, and answers it as the engine would."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from conform.lineages import DEEPER, GIVEN, PROBLEM, WIDER, child, made, network, root
from neunets.canonical import canonical_hash
from neunets.conform.drive import Run
from neunets.conform.family import Family
from neunets.cost import cost
from neunets.morphisms import Widen, derive
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.wire import graph_from_proto, graph_to_proto
from neunets_engine.admission import Admitted, Rules, admit


def last_echo(run: Run) -> pb.Candidate:
    echoes = [event.proposed for event in run.log.events if event.HasField("proposed")]
    return echoes[-1].candidates[-1].candidate


def refusal(run: Run, candidate: pb.Candidate) -> tuple[str, str]:
    found = run.judge.judge(candidate, run.log.known, run.log.family.parents)
    return found.refusal, found.path


OF_TRAINED = child(WIDER)
WITHOUT_PARENT = pb.Candidate(lineage=OF_TRAINED.lineage)
WITHOUT_BOTH = pb.Candidate(parents=["c000001"])
WILD = child(WIDER, of="c999999")
WILD.recipe.learning_rate = 1e9
NO_KIND = child(WIDER)
NO_KIND.lineage[0].kind = "teleport"
SECOND_PARENT = child(WIDER)
SECOND_PARENT.parents.append("c999999")
REFUSED: Mapping[str, tuple[pb.Candidate, tuple[str, str]]] = {
    "neither": (WITHOUT_BOTH, ("BAD_GRAPH", "graph")),
    "no parent": (WITHOUT_PARENT, ("BAD_PARENT", "parents")),
    "unknown parent": (child(WIDER, of="c999999"), ("BAD_PARENT", "parents[0]")),
    "unknown second parent": (SECOND_PARENT, ("BAD_PARENT", "parents[1]")),
    "unknown parent beside a graph": (
        pb.Candidate(graph=root(20).graph, parents=["c999999"]),
        ("BAD_PARENT", "parents[0]"),
    ),
    "failed parent": (child(WIDER, of="c000003"), ("BAD_PARENT", "parents[0]")),
    "parent that is tried again": (child(WIDER, of="c000004"), ("BAD_PARENT", "parents[0]")),
    "parent in training": (child(WIDER, of="c000005"), ("BAD_PARENT", "parents[0]")),
    "rejected parent": (child(WIDER, of="c000006"), ("BAD_PARENT", "parents[0]")),
    "no such node": (child(DEEPER, Widen("teleport", 9)), ("BAD_MORPH", "lineage[1]")),
    "no such morphism": (NO_KIND, ("BAD_MORPH", "lineage[0]")),
    "no such node of a failed parent": (child(Widen("teleport", 9), of="c000003"), ("BAD_PARENT", "parents[0]")),
    "another graph": (child(WIDER, graph=network(30)), ("LINEAGE_DIFFERS", "graph")),
    "another graph and no such node": (child(Widen("teleport", 9), graph=network(30)), ("BAD_MORPH", "lineage[0]")),
    "a network that was there": (child(Widen("conv", 5)), ("DUPLICATE", "graph")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_lineage_is_refused_with_code_and_path(case: str) -> None:
    candidate, expected = REFUSED[case]
    assert refusal(made(), candidate) == expected


@pytest.mark.parametrize("case", REFUSED)
def test_the_engine_refuses_the_same(case: str) -> None:
    run = made()
    rules = Rules(GIVEN.input, GIVEN.classes, None)
    answer = admit(REFUSED[case][0], rules, run.log.known, trials(run))
    assert not isinstance(answer, Admitted)
    assert (answer[0].code, answer[0].path) == REFUSED[case][1]


def trials(run: Run) -> Callable[[str], store_pb2.TrialRecord | None]:
    """As the engine keeps them."""

    def of(candidate: str) -> store_pb2.TrialRecord | None:
        parent = run.log.family.parents.get(candidate)
        if parent is None:
            return None
        state = service_pb2.TRIAL_STATE_ENDED if parent.has_ended else service_pb2.TRIAL_STATE_RUNNING
        artifacts = {"weights": pb.ArtifactRef(size=1)} if parent.has_weights else {}
        result = pb.TrialEnded(artifacts=artifacts)
        return store_pb2.TrialRecord(candidate=candidate, graph=parent.graph, state=state, result=result)

    return of


def test_the_recipe_comes_before_the_lineage() -> None:
    assert refusal(made(), WILD) == ("BAD_RECIPE", "recipe")


@pytest.mark.parametrize("parent", ["c000001", "c000002"])
def test_a_lineage_from_weights_is_admitted_and_echoed_with_itsnetwork(parent: str) -> None:
    run = made()
    source = graph_from_proto(run.log.family.parents[parent].graph)
    assert run.admit("third", [child(WIDER, DEEPER, of=parent)]) == ["c000007"]
    assert graph_from_proto(last_echo(run).graph) == derive(source, (WIDER, DEEPER))
    assert list(last_echo(run).parents) == [parent]
    assert not run.log.candidates["c000007"].HasField("graph")


def test_a_graph_beside_its_lineage_is_echoed_in_the_spelling_of_the_engine() -> None:
    """So that the next lineage finds the names of its nodes."""
    run, graph = made(), derive(network(), (WIDER, DEEPER))
    renamed = graph_to_proto(graph)
    renamed.nodes[-1].name = renamed.output = "scores"
    candidate = child(WIDER, DEEPER)
    candidate.graph.CopyFrom(renamed)
    assert run.admit("third", [candidate]) == ["c000007"]
    assert graph_from_proto(last_echo(run).graph) == graph


def test_a_rejected_lineage_is_echoed_as_it_came() -> None:
    run = made()
    assert run.admit("third", [child(WIDER, of="c000003")]) == []
    assert last_echo(run) == child(WIDER, of="c000003")
    assert run.log.events[-1].rejected.why[0].code == "BAD_PARENT"


def test_the_same_child_of_one_answer_is_a_duplicate() -> None:
    run = made()
    assert run.admit("third", [child(DEEPER), child(DEEPER)]) == ["c000007"]
    assert run.judged["c000008"].refusal == "DUPLICATE"
    assert run.log.known[canonical_hash(derive(network(), (DEEPER,)))] == "c000007"


def test_a_child_keeps_the_constraints_of_the_run() -> None:
    problem = pb.Problem()
    problem.CopyFrom(PROBLEM)
    problem.constraints.add(metric="params", max=cost(network(9)).params, hard=True)
    run = made(problem)
    assert refusal(run, child(Widen("conv", 10))) == ("OVER_CONSTRAINT", "params")
    assert refusal(run, child(Widen("conv", 9))) == ("", "")


def test_a_child_of_a_child_comes_from_what_was_derived() -> None:
    run = made()
    (name,) = run.admit("third", [child(DEEPER)])
    run.log.ended(run.log.started(name))
    (grandchild,) = run.admit("fourth", [child(WIDER, of=name)])
    assert graph_from_proto(last_echo(run).graph) == derive(network(), (DEEPER, WIDER))
    assert run.log.family.parents[grandchild].has_ended is False


def test_a_network_of_the_users_own_is_a_parent_too() -> None:
    run = made()
    run.log.injected(root(11))
    assert refusal(run, child(Widen("conv", 20), of="c000007")) == ("", "")


def test_the_family_is_a_fold_over_the_events() -> None:
    run = made()
    assert Family(run.log.events).parents == run.log.family.parents
    has_weights = {name: parent.has_weights for name, parent in run.log.family.parents.items()}
    assert [name for name, has in has_weights.items() if has] == ["c000001", "c000002"]
    assert not any(parent.has_weights for parent in Family(run.log.events[:2]).parents.values())


def test_a_result_has_weights_and_what_was_inherited_is_measured() -> None:
    run = made()
    (name,) = run.admit("third", [child(DEEPER)])
    run.log.ended(run.log.started(name))
    ended = run.log.events[-1].ended
    assert ended.artifacts["weights"].size > 0
    assert ended.metrics["inherited_delta"] == 0.0


def test_a_replay_is_given_the_budgets_that_the_run_was_given() -> None:
    run = made()
    run.applied = 3
    asked = run.budget()
    run.log.started(run.admit("third", [child(DEEPER)])[0])
    assert run.budget() == asked
    run.applied = len(run.log.events)
    assert asked.trials_left - run.budget().trials_left == 5
