"""Unequal shares tell the copies of a channel apart, and leave the function as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neunets.graph import DataType, Graph, Input, Node
from neunets.lineage import lineage_to_proto
from neunets.morphisms import Widen
from neunets.reference import initialise, run
from sdk.morphism_strategies import accepted, networks

OLD, NEW, UNITS = 4, 12, 5
NET = Graph(
    Input("x", (2, 3), DataType.FLOAT32, (0.0,) * 3, (1.0,) * 3),
    (
        Node("flat", "flatten", ("x",)),
        Node("wide", "linear", ("flat",), {"units": OLD}),
        Node("relu", "activation", ("wide",), {"function": "relu"}),
        Node("one", "linear", ("relu",), {"units": UNITS}),
        Node("other", "linear", ("relu",), {"units": UNITS}),
        Node("sum", "add", ("one", "other")),
    ),
    "sum",
)
WEIGHTS = {key: value.astype(np.float64) for key, value in initialise(NET, np.random.default_rng(0)).items()}
spreads, seeds = st.floats(0.0, 1.0), st.integers(0, 2**63 - 1)


def widened(spread: float, seed: int) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """(NEW,) the old unit that each unit copies, and the weights."""
    wide = Widen("wide", NEW, seed, shares=spread).weights(NET, WEIGHTS)
    rows = [int(np.flatnonzero((WEIGHTS["wide.weight"] == row).all(axis=1))[0]) for row in wide["wide.weight"]]
    return np.array(rows), wide


def shares_of(spread: float, seed: int, reader: str = "one") -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(NEW,) the old unit that each unit copies, and the part of its weights that the copy got."""
    rows, wide = widened(spread, seed)
    parts = wide[f"{reader}.weight"] / WEIGHTS[f"{reader}.weight"][:, rows]
    assert np.allclose(parts, parts[0], rtol=1e-12)  # the same for all that the reader computes
    return rows, parts[0]


@settings(max_examples=60)
@given(data=st.data(), spread=spreads)
def test_any_shares_preserve_the_function_exactly(data: st.DataObject, spread: float) -> None:
    case = data.draw(networks())
    change = replace(data.draw(accepted(case.graph, ("widen",))), shares=spread)
    weights = {key: value.astype(np.float64) for key, value in case.weights.items()}
    before = run(case.graph, weights, case.x, dtype=np.float64)
    after = run(change.apply(case.graph), change.weights(case.graph, weights), case.x, dtype=np.float64)
    np.testing.assert_allclose(after, before, rtol=0.0, atol=1e-10 * max(1.0, float(np.abs(before).max())))


@given(spread=spreads, seed=seeds)
def test_the_shares_of_a_unit_sum_to_one_and_none_is_below_its_floor(spread: float, seed: int) -> None:
    rows, parts = shares_of(spread, seed)
    copies = np.bincount(rows)
    np.testing.assert_allclose(np.bincount(rows, parts), 1.0, rtol=1e-12)
    assert (parts > 0.0).all()
    assert (parts >= (1.0 - spread) / copies[rows] - 1e-12).all()


@given(spread=st.floats(0.01, 1.0), seed=seeds)
def test_copies_of_a_unit_have_other_outgoing_weights(spread: float, seed: int) -> None:
    rows, parts = shares_of(spread, seed)
    for unit in range(OLD):
        of_unit = parts[rows == unit]
        assert len(np.unique(of_unit)) == len(of_unit)


@given(seed=seeds)
def test_without_an_argument_shares_are_equal(seed: int) -> None:
    rows, parts = shares_of(0.0, seed)
    np.testing.assert_allclose(parts, 1.0 / np.bincount(rows)[rows], rtol=1e-12)


@given(spread=spreads, seed=seeds)
def test_a_unit_that_was_not_copied_keeps_its_weights_to_the_bit(spread: float, seed: int) -> None:
    rows, wide = widened(spread, seed)
    for unit in np.flatnonzero(np.bincount(rows, minlength=OLD) == 1):
        assert (wide["one.weight"][:, unit] == WEIGHTS["one.weight"][:, unit]).all()


@given(seed=seeds)
def test_each_reader_and_each_seed_has_shares_of_its_own(seed: int) -> None:
    (rows, one), (_, other), (_, again) = (shares_of(0.5, seed, reader) for reader in ("one", "other", "one"))
    is_copied = np.bincount(rows)[rows] > 1
    assert (one[is_copied] != other[is_copied]).all()
    assert (one == again).all()


@pytest.mark.parametrize(("change", "claims"), [(Widen("w", 8, shares=0.5), True), (Widen("w", 8, noise=0.5), False)])
def test_a_message_claims_that_shares_keep_the_function_and_noise_does_not(change: Widen, claims: bool) -> None:
    (message,) = lineage_to_proto([change])
    assert message.function_preserving is claims
