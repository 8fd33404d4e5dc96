"""Recorded learning curves, and what is answered from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from neunets.draws import generator
from neunets.graph import DataType, Input
from neunets.simulation import FEATURES, Curve, Table, features, shipped, write_table
from neunets.spaces import SPACES, Designs
from neunets.synthesizer import Problem

PIXELS = Input("image", (16, 16, 3), DataType.UINT8, (125.3, 123.0, 113.9), (63.0, 62.1, 66.7))
SMALL = Input("image", (12, 12, 1), DataType.UINT8, (72.9,), (90.0,))
ROWS, EPOCHS = 12, 9
CURVES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12)


def _problem(source: Input) -> Problem:
    return Problem(
        "image-classification",
        source,
        10,
        1000,
        500,
        max_flops=500_000,
        mirror_keeps_class=True,
        class_rows=(100,) * 10,
        meta_features={"imbalance": 1.0},
    )


def _designs(problem: Problem) -> Designs:
    return Designs.of(problem, tuple(SPACES), (), problem.max_flops)


def _written(path: Path) -> tuple[Table, list[NDArray[np.float64]]]:
    problems = {"pixels": _problem(PIXELS), "small": _problem(SMALL)}
    columns, curves = [], []
    for number, problem in enumerate(problems.values()):
        designs, rng = _designs(problem), generator(0, number)
        drawn = [designs.graph(designs.parameters.sample(generator(7, row))) for row in range(ROWS)]
        accuracies = np.sort(rng.random((ROWS, EPOCHS)), axis=1)
        accuracies[0, 5:] = np.nan
        curves.append(accuracies)
        columns.append((np.array([features(graph, {}) for graph in drawn]), accuracies, -np.log(accuracies)))
    write_table(path, problems, columns, {"learning_rate": 0.3}, [row % 3 == 0 for row in range(ROWS)])
    return Table.read(path), curves


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table, curves = _written(tmp_path / "table.npz")
    assert [each.name for each in table.recorded] == ["pixels", "small"]
    for recorded, source, accuracies in zip(table.recorded, (PIXELS, SMALL), curves, strict=True):
        schema = recorded.problem.recipe_schema
        assert replace(recorded.problem, recipe_schema=_problem(source).recipe_schema) == _problem(source)
        chosen: Any = schema["properties"]
        assert chosen["epochs"]["maximum"] == EPOCHS
        assert (chosen["learning_rate"]["default"], chosen["momentum"]["default"]) == (0.3, 0.9)
        np.testing.assert_allclose(recorded.accuracies, accuracies, atol=1e-4)
        np.testing.assert_allclose(recorded.losses, -np.log(accuracies), atol=1e-3)
        assert recorded.best == pytest.approx(np.nanmax(accuracies), abs=1e-4)
        assert recorded.epochs == EPOCHS
        np.testing.assert_array_equal(
            recorded.searched().accuracies, np.delete(recorded.accuracies, np.s_[::3], axis=0)
        )


def test_a_recorded_network_is_its_own_nearest_one(tmp_path: Path) -> None:
    table, _ = _written(tmp_path / "table.npz")
    for recorded in table.recorded:
        designs = _designs(recorded.problem)
        graphs = [designs.graph(designs.parameters.sample(generator(7, row))) for row in range(ROWS)]
        places = np.array([features(graph, {}) for graph in graphs])
        assert len(np.unique(places, axis=0)) == ROWS
        assert [recorded.nearest(graph, {}) for graph in graphs] == list(range(ROWS))


def test_a_training_counts_as_the_network_does() -> None:
    designs = _designs(_problem(PIXELS))
    graph = designs.graph(designs.parameters.sample(generator(1, 0)))
    place = FEATURES.index("learning_rate")
    slow, fast = (features(graph, {"learning_rate": rate})[place] for rate in (0.01, 0.04))
    assert fast - slow == pytest.approx(2.0)


@given(CURVES, st.data())
def test_a_curve_has_what_was_measured_and_lies_between(values: list[float], data: st.DataObject) -> None:
    curve = Curve(0.1, np.array(values), np.array(values))
    for epoch, value in enumerate(values, 1):
        assert curve.accuracy(epoch) == value
    epochs = data.draw(st.floats(0.0, float(len(values))))
    whole = int(epochs)
    near = ([0.1, *values])[whole : whole + 2]
    assert min(near) - 1e-12 <= curve.accuracy(epochs) <= max(near) + 1e-12
    assert curve.accuracy(len(values) + 3.5) == values[-1]


def test_a_curve_ends_where_its_training_has_diverged() -> None:
    curve = Curve(0.1, np.array([0.3, np.nan]), np.array([1.0, np.nan]))
    assert curve.accuracy(1.0) == 0.3
    assert np.isnan(curve.accuracy(1.5))
    assert np.isnan(curve.accuracy(2.0))


def test_the_shipped_table_is_large_enough_to_search_in() -> None:
    table = shipped()
    assert len(table.recorded) >= 3
    for recorded in table.recorded:
        rows, epochs = recorded.accuracies.shape
        assert rows >= 300
        assert epochs >= 27
        assert recorded.best - np.nanmedian(recorded.accuracies[:, -1]) > 0.02
