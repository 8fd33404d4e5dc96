"""A candidate that comes from a parent: the engine makes its network, or tells which step or parent is at fault."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import IMAGE
from neunets.canonical import canonical_hash
from neunets.cost import cost
from neunets.graph import Graph, Node
from neunets.graph.v1 import graph_pb2
from neunets.lineage import lineage_to_proto
from neunets.morphisms import MORPHISMS, Branch, Deepen, Morphism, Widen, derive
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_to_proto
from neunets_engine.admission import MOST_PARAMS, Admitted, Rules, admit
from sdk.morphism_strategies import accepted, tied
from strategies import CLASSES

RULES = Rules(IMAGE, 3, None)
PARENT = Graph(
    IMAGE,
    (
        Node("conv", "conv", ("image",), {"channels": 4, "kernel": 3}),
        Node("relu", "activation", ("conv",), {"function": "relu"}),
        Node("pool", "global_pool", ("relu",), {"function": "avg"}),
        Node("logits", "linear", ("pool",), {"units": 3}),
    ),
    "logits",
)
LINEAGE = (Deepen("relu"), Widen("conv", 6))
CHILD = derive(PARENT, LINEAGE)


def trained(graph: Graph = PARENT, state: service_pb2.TrialState.ValueType = service_pb2.TRIAL_STATE_ENDED) -> Any:
    trial = store_pb2.TrialRecord(trial="t000005", candidate="c000007", graph=graph_to_proto(graph), state=state)
    trial.result.artifacts["weights"].size = 1
    return trial


def unfinished(state: service_pb2.TrialState.ValueType) -> Any:
    """Without weights."""
    trial = trained(state=state)
    trial.ClearField("result")
    return trial


FAMILY = {
    "c000007": trained(),
    "running": unfinished(service_pb2.TRIAL_STATE_RUNNING),
    "failed": unfinished(service_pb2.TRIAL_STATE_ENDED),
}


def candidate(
    *lineage: Morphism, parents: tuple[str, ...] = ("c000007",), graph: Graph | None = None
) -> synthesizer_pb2.Candidate:
    own = None if graph is None else graph_to_proto(graph)
    return synthesizer_pb2.Candidate(parents=parents, lineage=lineage_to_proto(lineage), graph=own)


def rejected(
    proposed: synthesizer_pb2.Candidate, rules: Rules = RULES, known: dict[str, str] | None = None
) -> tuple[str, str, str]:
    answer = admit(proposed, rules, known or {}, FAMILY.get)
    assert not isinstance(answer, Admitted)
    (why,) = answer
    assert why.severity == synthesizer_pb2.Diagnostic.SEVERITY_ERROR
    return why.code, why.path, why.summary


@pytest.mark.parametrize("graph", [None, CHILD])
def test_a_lineage_is_admitted_as_the_network_that_it_makes(graph: Graph | None) -> None:
    answer = admit(candidate(*LINEAGE, graph=graph), RULES, {}, FAMILY.get)
    assert answer == Admitted(CHILD, cost(CHILD), canonical_hash(CHILD), "t000005")


def test_what_is_admitted_is_spelled_by_the_engine() -> None:
    """Weights are inherited under the engine's names, so that others of the same network do not matter."""
    nodes = [replace(node, name=f"x{node.name}", inputs=tuple(map(_renamed, node.inputs))) for node in CHILD.nodes]
    answer = admit(candidate(*LINEAGE, graph=Graph(IMAGE, tuple(nodes), "xlogits")), RULES, {}, FAMILY.get)
    assert isinstance(answer, Admitted)
    assert answer.graph == CHILD


def test_a_malformed_graph_beside_a_lineage_is_told() -> None:
    astray = [replace(node, inputs=("nowhere",)) for node in CHILD.nodes]
    answer = admit(candidate(*LINEAGE, graph=Graph(IMAGE, tuple(astray), CHILD.output)), RULES, {}, FAMILY.get)
    assert not isinstance(answer, Admitted)
    assert answer[0].code == "BAD_GRAPH"


def _renamed(name: str) -> str:
    return name if name == "image" else f"x{name}"


def test_a_parent_may_be_named_without_a_lineage() -> None:
    answer = admit(candidate(graph=CHILD, parents=("running", "c000007")), RULES, {}, FAMILY.get)
    assert answer == Admitted(CHILD, cost(CHILD), canonical_hash(CHILD), FAMILY["running"].trial)


@settings(max_examples=30)
@given(data=st.data())
def test_every_lineage_that_applies_is_admitted(data: st.DataObject) -> None:
    parent = data.draw(tied()).graph
    lineage, graph = [], parent
    for _ in range(data.draw(st.integers(1, 3))):
        lineage.append(data.draw(accepted(graph)))
        graph = lineage[-1].apply(graph)
    answer = admit(candidate(*lineage), Rules(parent.input, CLASSES, None), {}, lambda name: trained(parent))
    assert isinstance(answer, Admitted)
    assert answer.graph == graph


BAD_PARENTS: dict[str, tuple[synthesizer_pb2.Candidate, str, str]] = {
    "unknown": (candidate(*LINEAGE, parents=("c9",)), "parents[0]", "the run has admitted no candidate 'c9'"),
    "second unknown": (
        candidate(*LINEAGE, parents=("c000007", "c9")),
        "parents[1]",
        "the run has admitted no candidate 'c9'",
    ),
    "unknown without a lineage": (candidate(graph=CHILD, parents=("c9",)), "parents[0]", "no candidate 'c9'"),
    "none": (candidate(*LINEAGE, parents=()), "parents", "a lineage begins at parents[0]"),
    "running": (
        candidate(*LINEAGE, parents=("running",)),
        "parents[0]",
        "no weights to inherit: its trial has not ended: propose its children afterwards",
    ),
    "failed": (candidate(*LINEAGE, parents=("failed",)), "parents[0]", "no weights to inherit: its trial has failed"),
}


@pytest.mark.parametrize("case", BAD_PARENTS)
def test_a_parent_that_leaves_nothing_is_refused_by_its_place(case: str) -> None:
    proposed, path, text = BAD_PARENTS[case]
    why = rejected(proposed)
    assert why[:2] == ("BAD_PARENT", path)
    assert text in why[2]


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Widen("conv", 4), "widen at conv: it is 6 wide already: 4 is no more [WIDEN_WIDTH]"),
        (Branch("absent"), "branch at absent: the graph has no such node [NO_NODE]"),
        (Deepen("conv"), "[FUNCTION_CHANGES]"),
    ],
)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_step_that_cannot_be_applied_is_told_by_its_number(step: Morphism, text: str, number: int) -> None:
    lineage = [Widen("conv", 6), Deepen("relu")]
    lineage.insert(number, step)
    code, path, summary = rejected(candidate(*lineage))
    text = text.replace("it is 6", "it is 4") if number == 0 else text
    assert (code, path) == ("BAD_MORPH", f"lineage[{number}]")
    assert text in summary


@pytest.mark.parametrize(
    ("kind", "arguments", "rule"),
    [
        ("narrow", {}, "UNKNOWN_MORPHISM"),
        ("widen", {}, "BAD_ARGUMENT"),
        ("widen", {"width": graph_pb2.Attribute(text="wide")}, "BAD_ARGUMENT"),
        ("widen", {"width": graph_pb2.Attribute(int=6), "shares": graph_pb2.Attribute(float=math.nan)}, "BAD_ARGUMENT"),
        ("widen", {"width": graph_pb2.Attribute()}, "BAD_ATTRIBUTE"),
    ],
)
def test_a_step_that_cannot_be_read_is_told_by_its_number(
    kind: str, arguments: dict[str, graph_pb2.Attribute], rule: str
) -> None:
    proposed = candidate(Deepen("relu"))
    step = proposed.lineage.add(kind=kind, node="conv")
    for name, value in arguments.items():
        step.args[name].CopyFrom(value)
    code, path, summary = rejected(proposed)
    assert (code, path) == ("BAD_MORPH", "lineage[1]")
    assert summary.endswith(f"[{rule}]")


def test_a_network_that_the_lineage_does_not_make_is_refused() -> None:
    code, path, summary = rejected(candidate(*LINEAGE, graph=derive(PARENT, LINEAGE[:1])))
    assert (code, path) == ("LINEAGE_DIFFERS", "graph")
    assert "not the network that the lineage makes of c000007" in summary


def test_a_derived_network_keeps_the_bound_of_the_run() -> None:
    params = cost(CHILD).params
    assert isinstance(admit(candidate(*LINEAGE), replace(RULES, max_params=params), {}, FAMILY.get), Admitted)
    code, path, summary = rejected(candidate(*LINEAGE), replace(RULES, max_params=params - 1))
    assert (code, path) == ("OVER_CONSTRAINT", "params")
    assert f"{params} parameters, at most {params - 1} are allowed" in summary


def test_a_derived_network_keeps_the_bound_of_every_worker() -> None:
    code, path, summary = rejected(candidate(Deepen("relu"), Widen("conv2", 40_000), Widen("conv", 1_000)))
    assert (code, path) == ("OVER_CONSTRAINT", "params")
    assert f"at most {MOST_PARAMS:,} are allowed" in summary


def test_a_network_that_was_derived_before_is_a_duplicate() -> None:
    why = rejected(candidate(*LINEAGE), known={canonical_hash(CHILD): "c000009"})
    assert why == ("DUPLICATE", "graph", "the same network as candidate c000009")


ATTRIBUTES = st.one_of(
    st.builds(graph_pb2.Attribute),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: graph_pb2.Attribute(int=value)),
    st.integers(0, 64).map(lambda value: graph_pb2.Attribute(int=value)),
    st.floats().map(lambda value: graph_pb2.Attribute(float=value)),
    st.booleans().map(lambda value: graph_pb2.Attribute(bool=value)),
    st.sampled_from(["conv", "linear", "none", "left", "x"]).map(lambda value: graph_pb2.Attribute(text=value)),
)
NAMES = sorted({name for made in MORPHISMS.values() for name in made.arguments})
MORPHS = st.builds(
    lambda kind, node, args: synthesizer_pb2.Morph(kind=kind, node=node, args=args),
    st.sampled_from([*MORPHISMS]) | st.text(max_size=40),
    st.sampled_from(["image", "conv", "relu", "conv2", "logits"]) | st.text(max_size=300),
    st.dictionaries(st.sampled_from(NAMES), ATTRIBUTES, max_size=4),
)


@settings(max_examples=200)
@given(lineage=st.lists(MORPHS, min_size=1, max_size=4), parents=st.lists(st.sampled_from(["c000007", "c9"])))
def test_no_lineage_makes_admission_raise(lineage: list[synthesizer_pb2.Morph], parents: list[str]) -> None:
    proposed = synthesizer_pb2.Candidate(parents=parents, lineage=lineage)
    answer = admit(proposed, RULES, {}, FAMILY.get)
    if not isinstance(answer, Admitted):
        (why,) = answer
        assert why.code in {"BAD_PARENT", "BAD_MORPH", "OVER_CONSTRAINT"}
        assert len(why.summary) <= 256
