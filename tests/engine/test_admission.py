"""A candidate is admitted, or rejected with a code, the place and a reason."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from neunets.canonical import canonical_hash
from neunets.cost import cost
from neunets.graph import DataType, Graph, Input, Node
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_to_proto
from neunets_engine.admission import RECIPE_RANGES, Admitted, Rules, admit
from strategies import CLASSES, graphs

INPUT = Input("image", (8, 8, 1), DataType.UINT8, (0.0,), (1.0,))
RULES = Rules(INPUT, 10, None)
Candidate = synthesizer_pb2.Candidate


def network(*nodes: Node, source: Input = INPUT) -> Graph:
    return Graph(source, nodes, nodes[-1].name)


GOOD = network(
    Node("conv", "conv", ("image",), {"channels": 4, "kernel": 3}),
    Node("pool", "global_pool", ("conv",), {"function": "avg"}),
    Node("logits", "linear", ("pool",), {"units": 10}),
)
HUGE = network(
    Node("flat", "flatten", ("image",)),
    Node("wide", "linear", ("flat",), {"units": 31_000}),
    Node("wider", "linear", ("wide",), {"units": 31_000}),
    Node("logits", "linear", ("wider",), {"units": 10}),
)
DEEP = network(
    Node("conv", "conv", ("image",), {"channels": 1_000_000, "kernel": 1}),
    *(Node(f"a{number}", "identity", (f"a{number - 1}" if number else "conv",)) for number in range(2)),
    Node("pool", "global_pool", ("a1",), {"function": "avg"}),
    Node("logits", "linear", ("pool",), {"units": 10}),
)


def candidate(graph: Graph = GOOD, **recipe: Any) -> Candidate:
    return Candidate(graph=graph_to_proto(graph), recipe=synthesizer_pb2.Recipe(**recipe))


def rejected(proposed: Candidate, rules: Rules = RULES, known: dict[str, str] | None = None) -> tuple[str, str, str]:
    answer = admit(proposed, rules, known or {})
    assert not isinstance(answer, Admitted)
    (why,) = answer
    assert why.severity == synthesizer_pb2.Diagnostic.SEVERITY_ERROR
    return why.code, why.path, why.summary


@given(graph=graphs())
def test_a_good_network_is_admitted_with_its_cost_and_hash(graph: Graph) -> None:
    answer = admit(candidate(graph), Rules(graph.input, CLASSES, cost(graph).params), {})
    assert answer == Admitted(graph, cost(graph), canonical_hash(graph))


def test_a_good_recipe_is_admitted_at_both_ends_of_its_ranges() -> None:
    for end in (0, 1):
        fields = {field: ends[end] for field, ends in RECIPE_RANGES.items() if field not in ("device_s", "steps")}
        assert isinstance(admit(candidate(**fields, mirror=True), RULES, {}), Admitted)
        for total in ("device_s", "steps"):
            assert isinstance(admit(candidate(**{total: RECIPE_RANGES[total][end]}), RULES, {}), Admitted)


CYCLE = replace(GOOD, nodes=(replace(GOOD.nodes[0], inputs=("pool",)), *GOOD.nodes[1:]))
OTHER_INPUT = replace(GOOD, input=replace(INPUT, std=(2.0,)))
REJECTIONS: dict[str, tuple[Candidate, tuple[str, str, str]]] = {
    "no graph": (Candidate(rationale="none"), ("BAD_GRAPH", "graph", "needs a graph")),
    "unknown operator": (candidate(network(Node("a", "convolve", ("image",)))), ("BAD_GRAPH", "a", "'convolve'")),
    "cycle": (candidate(CYCLE), ("BAD_GRAPH", "conv", "without cycles")),
    "logits": (
        candidate(replace(GOOD, nodes=(*GOOD.nodes[:2], replace(GOOD.nodes[2], attributes={"units": 9})))),
        ("BAD_GRAPH", "logits", "9 logits for 10 classes"),
    ),
    "another input": (candidate(OTHER_INPUT), ("BAD_GRAPH", "image", "the input has to be")),
    "parameters": (candidate(HUGE), ("OVER_CONSTRAINT", "params", "963,356,010 parameters, at most 200,000,000")),
    "activations": (candidate(DEEP), ("OVER_CONSTRAINT", "activation_bytes", "at most 268,435,456 are allowed")),
    "continuation": (candidate(resume_trial="t1"), ("BAD_CONTINUATION", "recipe.resume_trial", "the run has no trial")),
    "schedule": (
        candidate(schedule=synthesizer_pb2.Schedule.ValueType(99)),
        ("BAD_RECIPE", "recipe.schedule", "no schedule 99"),
    ),
}


@pytest.mark.parametrize("case", REJECTIONS)
def test_a_fault_is_told_with_code_and_path(case: str) -> None:
    proposed, (code, path, summary) = REJECTIONS[case]
    why = rejected(proposed)
    assert why[:2] == (code, path)
    assert summary in why[2]


def test_the_bound_of_the_run_is_kept() -> None:
    params = cost(GOOD).params
    assert isinstance(admit(candidate(), replace(RULES, max_params=params), {}), Admitted)
    code, path, summary = rejected(candidate(), replace(RULES, max_params=params - 1))
    assert (code, path) == ("OVER_CONSTRAINT", "params")
    assert f"{params} parameters, at most {params - 1} are allowed" in summary


@pytest.mark.parametrize("name", ["conv", "renamed"])
def test_a_repeated_network_names_the_earlier_candidate(name: str) -> None:
    first = admit(candidate(), RULES, {})
    assert isinstance(first, Admitted)
    nodes = (replace(GOOD.nodes[0], name=name), replace(GOOD.nodes[1], inputs=(name,)), GOOD.nodes[2])
    why = rejected(candidate(replace(GOOD, nodes=nodes)), known={first.digest: "c000007"})
    assert why == ("DUPLICATE", "graph", "the same network as candidate c000007")


@pytest.mark.parametrize("field", RECIPE_RANGES)
def test_numbers_outside_their_range_are_rejected_by_field(field: str) -> None:
    low, high = RECIPE_RANGES[field]
    beyond = [high + 1] if isinstance(high, int) else [low - 1.0, 2.0 * high, math.nan, math.inf, -math.inf]
    for value in beyond:
        code, path, summary = rejected(candidate(**{field: value}))
        assert (code, path) == ("BAD_RECIPE", f"recipe.{field}")
        assert f"is not within {low:g}..{high:g}" in summary


def test_every_bad_number_of_a_recipe_is_told() -> None:
    answer = admit(candidate(epochs=-1.0, momentum=2.0, warmup=math.nan), RULES, {})
    assert not isinstance(answer, Admitted)
    assert [why.path for why in answer] == ["recipe.epochs", "recipe.momentum", "recipe.warmup"]
