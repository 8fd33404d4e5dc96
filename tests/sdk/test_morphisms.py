"""Laws of all morphisms: the function stays, and so does everything that is handed in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import DTypeLike, NDArray

from neunets.canonical import canonical_hash
from neunets.cost import parameters
from neunets.graph import Graph
from neunets.morphisms import MORPHISMS, Morphism, arguments_of, derive, inherit, morphism
from neunets.morphisms.channels import CHANNELWISE, MIXING
from neunets.ops import OPERATORS
from neunets.reference import run
from neunets.validate import validate
from sdk.morphism_strategies import accepted, networks
from strategies import CLASSES, Case

Weights = Mapping[str, NDArray[Any]]
TOLERANCE = {np.float64: 1e-10, np.float32: 1e-4}


def cast(weights: Weights, dtype: DTypeLike) -> dict[str, NDArray[Any]]:
    return {key: value.astype(dtype) for key, value in weights.items()}


def assert_preserved(case: Case, lineage: list[Morphism], batch: NDArray[Any] | None) -> None:
    for dtype, tolerance in TOLERANCE.items():
        weights = cast(case.weights, dtype)
        graph, inherited = inherit(case.graph, weights, lineage, batch)
        before = run(case.graph, weights, case.x, dtype=dtype)
        after = run(graph, inherited, case.x, dtype=dtype)
        scale = max(1.0, float(np.abs(before).max()))
        np.testing.assert_allclose(after, before, rtol=0.0, atol=tolerance * scale)


@pytest.mark.parametrize("kind", MORPHISMS)
@given(data=st.data())
@settings(max_examples=40)
def test_the_function_is_preserved_in_both_precisions(kind: str, data: st.DataObject) -> None:
    case = data.draw(networks())
    change = data.draw(accepted(case.graph, (kind,)))
    assert_preserved(case, [change], data.draw(st.sampled_from((None, case.x))))


@given(data=st.data())
@settings(max_examples=30)
def test_a_lineage_of_morphisms_preserves_the_function(data: st.DataObject) -> None:
    case = data.draw(networks())
    graph, lineage = case.graph, []
    for _ in range(data.draw(st.integers(2, 5))):
        lineage.append(data.draw(accepted(graph)))
        graph = lineage[-1].apply(graph)
    assert derive(case.graph, lineage) == graph
    assert_preserved(case, lineage, data.draw(st.sampled_from((None, case.x))))


@given(data=st.data())
@settings(max_examples=25)
def test_the_weights_are_those_of_the_new_graph(data: st.DataObject) -> None:
    case = data.draw(networks())
    change = data.draw(accepted(case.graph))
    weights = cast(case.weights, data.draw(st.sampled_from((np.float32, np.float64))))
    child, found = change.apply(case.graph), change.weights(case.graph, weights, case.x)
    validate(child, classes=CLASSES, input=case.graph.input)
    wanted = parameters(child)
    assert [*found] == [*wanted]
    assert {key: value.shape for key, value in found.items()} == {key: p.shape for key, p in wanted.items()}
    assert {value.dtype for value in found.values()} == {value.dtype for value in weights.values()}
    assert all(value.flags.c_contiguous for value in found.values())


@given(data=st.data())
@settings(max_examples=20)
def test_what_is_handed_in_is_left_alone(data: st.DataObject) -> None:
    case = data.draw(networks())
    change = data.draw(accepted(case.graph))
    digest, before = canonical_hash(case.graph), {key: value.copy() for key, value in case.weights.items()}
    change.weights(case.graph, case.weights, case.x)
    assert canonical_hash(case.graph) == digest
    assert case.weights.keys() == before.keys()
    assert all((case.weights[key] == value).all() for key, value in before.items())


@given(data=st.data())
@settings(max_examples=20)
def test_a_message_makes_the_same_change(data: st.DataObject) -> None:
    case = data.draw(networks())
    change = data.draw(accepted(case.graph))
    again = morphism(change.kind, change.node, json.loads(json.dumps(arguments_of(change))))
    assert again == change
    assert again.apply(case.graph) == change.apply(case.graph)
    first, second = (made.weights(case.graph, case.weights) for made in (change, again))
    assert all((first[key] == second[key]).all() for key in first)


@given(data=st.data())
@settings(max_examples=15)
def test_every_morphism_changes_the_structure(data: st.DataObject) -> None:
    graph: Graph = data.draw(networks()).graph
    assert canonical_hash(data.draw(accepted(graph)).apply(graph)) != canonical_hash(graph)


@pytest.mark.parametrize("kind", MORPHISMS)
def test_every_field_is_an_argument_with_the_same_default(kind: str) -> None:
    made = MORPHISMS[kind]
    _, *given_fields = fields(made)
    defaults = {field.name: None if field.default is MISSING else field.default for field in given_fields}
    assert defaults == {name: rule.default for name, rule in made.arguments.items()}


@pytest.mark.parametrize("kind", MORPHISMS)
def test_every_default_is_allowed(kind: str) -> None:
    for rule in MORPHISMS[kind].arguments.values():
        assert rule.default is None or rule.fault(rule.default) is None


def test_every_operator_says_what_becomes_of_channels() -> None:
    assert {*CHANNELWISE, *MIXING, "add", "concat", "flatten"} == set(OPERATORS)
