"""Models of configurations: what they draw is better than what chance draws."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.draws import generator
from neunets.spaces import Condition, Configuration, Parameters, choice, real, whole
from neunets_hyperband.kde import kernel_model
from neunets_hyperband.model import Results, guide_of, ranked
from neunets_hyperband.settings import Modelling
from neunets_hyperband.tpe import parzen_model

DEPTH = 4
DEEP = [(Condition("depth", tuple(range(layer, DEPTH + 1))),) for layer in range(1, DEPTH + 1)]
# Layers that are there from some depth on.
TREE = Parameters(
    (
        whole("depth", 1, DEPTH),
        *(choice(f"kernel{layer}", 1, 3, 5, when=when) for layer, when in enumerate(DEEP, 1)),
        *(whole(f"width{layer}", 0, 15, when=when) for layer, when in enumerate(DEEP, 1)),
    )
)
FLAT = Parameters((real("x", 0.0, 1.0), real("y", 0.0, 1.0), choice("kind", "a", "b", "c", "d")))
NAMES = ("tree", "flat")
SEEDS = 24


def goodness(space: str, configuration: Configuration) -> float:
    """The best is 0, for three layers of kernel 3 and width 10."""
    if space == "flat":
        far = sum((float(configuration[name]) - best) ** 2 for name, best in (("x", 0.3), ("y", 0.7)))
        return -far - 0.2 * (configuration["kind"] != "b")
    depth = int(configuration["depth"])
    layers = range(1, depth + 1)
    kernels = sum(configuration[f"kernel{layer}"] != 3 for layer in layers) / depth
    widths = sum(abs(float(configuration[f"width{layer}"]) - 10) for layer in layers) / depth / 15
    return -0.3 * abs(depth - 3) - 0.3 * kernels - widths


def results(space: str, count: int, seed: int) -> Results:
    drawn = [SPACES[space].sample(generator(seed, number)) for number in range(count)]
    values = np.array([goodness(space, each) for each in drawn])
    return Results(np.array([SPACES[space].encode(each) for each in drawn]), values, np.zeros(count, np.bool_))


SPACES = {"tree": TREE, "flat": FLAT}


def found(modelling: Modelling, space: str, seed: int, count: int = 60) -> float:
    """The best of a search."""
    parameters, places, values = SPACES[space], list[np.ndarray](), list[float]()
    for number in range(count):
        rng = generator(seed, number)
        guide = None
        if values:
            seen = Results(np.array(places), np.array(values), np.zeros(len(values), np.bool_))
            guide = guide_of(modelling, parameters, [seen], generator(seed, number, 1))
        is_random = guide is None or rng.random() < 1 / 3
        chosen = parameters.sample(rng) if guide is None or is_random else guide.model.draw(rng)
        places.append(parameters.encode(chosen))
        values.append(goodness(space, chosen))
    return max(values)


@pytest.mark.parametrize(
    ("modelling", "space", "part"),
    [(Modelling.TPE, "tree", 0.6), (Modelling.TPE, "flat", 0.4), (Modelling.KDE, "tree", 0.8)],
)
def test_a_search_with_a_model_is_far_ahead_of_chance(modelling: Modelling, space: str, part: float) -> None:
    """What is missing to the best, over what is missing to it by chance."""
    error, chance = (
        -np.mean([found(each, space, seed) for seed in range(SEEDS)]) for each in (modelling, Modelling.NONE)
    )
    assert error < part * chance


@pytest.mark.parametrize(("modelling", "space"), list(product((Modelling.TPE, Modelling.KDE), NAMES)))
def test_what_a_model_draws_is_good(modelling: Modelling, space: str) -> None:
    gains = list[float]()
    for seed in range(SEEDS):
        seen = results(space, 80, seed)
        guide = guide_of(modelling, SPACES[space], [seen], generator(seed, 0))
        assert guide is not None
        drawn = [goodness(space, guide.model.draw(generator(seed, 1000, number))) for number in range(20)]
        gains.append(float(np.mean(drawn) - seen.values.mean()) / float(seen.values.std()))
    assert np.mean(gains) > 0.8
    assert min(gains) > 0.0


@given(seed=st.integers(0, 2**32), count=st.integers(10, 60), failed=st.floats(0.0, 0.6))
def test_every_draw_is_a_configuration_of_the_space(seed: int, count: int, failed: float) -> None:
    seen = results("tree", count, seed)
    values = np.where(generator(seed, count).random(count) < failed, -math.inf, seen.values)
    for modelling in (Modelling.TPE, Modelling.KDE):
        guide = guide_of(modelling, TREE, [Results(seen.places, values, seen.went_on)], generator(seed, 1))
        if guide is not None:
            drawn = guide.model.draw(generator(seed, 2))
            assert TREE.read(TREE.spell(drawn)) == drawn


def test_a_kernel_model_wants_more_good_and_more_bad_ones_than_parameters() -> None:
    dimensions = len(FLAT)
    for count, has_model in ((2 * dimensions + 1, False), (2 * dimensions + 2, True)):
        seen = results("flat", count, 0)
        assert (kernel_model(FLAT, seen.places, seen.values, generator(0, 0)) is not None) is has_model


def test_a_kernel_model_splits_as_published() -> None:
    seen = results("flat", 100, 0)
    model = kernel_model(FLAT, seen.places, seen.values, generator(0, 0))
    assert model is not None
    assert (len(model.good.points), len(model.bad.points)) == (15, 85)
    order = np.argsort(-seen.values)
    np.testing.assert_allclose(model.good.points, seen.places[order[:15]])
    deviations = seen.places[order[:15]].std(axis=0) * (1, 1, 4)  # kinds are numbered 0 to 3
    expected = 1.06 * deviations * 15 ** (-1 / (4 + 3))
    np.testing.assert_allclose(model.good.bandwidths, np.minimum(expected, (np.inf, np.inf, 3 / 4)))


def test_densities_are_those_of_their_kernels() -> None:
    seen = results("flat", 100, 0)
    model = kernel_model(FLAT, seen.places, seen.values, generator(0, 0))
    assert model is not None
    place, expected = np.array([0.4, 0.6, 0.375]), list[float]()
    for point in model.good.points:
        x, y, kind = model.good.bandwidths
        gauss = math.exp(-0.5 * ((0.4 - point[0]) / x) ** 2 - 0.5 * ((0.6 - point[1]) / y) ** 2) / (2 * math.pi * x * y)
        expected.append(gauss * (1 - kind if point[2] == 0.375 else kind / 3))
    assert model.good.at(place[np.newaxis])[0] == pytest.approx(np.mean(expected))


def test_inactive_places_are_those_of_other_points() -> None:
    seen = results("tree", 200, 0)
    model = kernel_model(TREE, seen.places, seen.values, generator(0, 0))
    assert model is not None
    assert not np.isnan(model.good.points).any()
    for axis in range(len(TREE)):
        column = seen.places[np.argsort(-seen.values)[: len(model.good.points)], axis]
        known = column[~np.isnan(column)]
        if len(known):
            assert set(model.good.points[:, axis]) <= set(known)


def test_tree_densities_are_probabilities() -> None:
    seen = results("tree", 50, 0)
    model = parzen_model(TREE, seen.places, seen.values)
    assert model is not None
    for entry, odds in zip(TREE, model.odds, strict=True):
        assert odds.chances.shape == odds.gains.shape == (len(entry.values),)
        assert odds.chances.sum() == pytest.approx(1.0)
        assert odds.chances.min() > 0.0


@pytest.mark.parametrize("modelling", [Modelling.TPE, Modelling.KDE])
def test_nothing_is_learned_of_failures_alone(modelling: Modelling) -> None:
    seen = results("tree", 60, 0)
    failed = Results(seen.places, np.full(60, -math.inf), seen.went_on)
    assert guide_of(modelling, TREE, [failed], generator(0, 0)) is None


def test_kernels_are_of_the_highest_rung_with_enough_results() -> None:
    low, middle, high = results("flat", 40, 0), results("flat", 12, 1), results("flat", 4, 2)
    found = [
        guide_of(Modelling.KDE, FLAT, rungs, generator(0, 0)) for rungs in ([low], [low, middle], [low, middle, high])
    ]
    assert [each and (each.rung, each.results) for each in found] == [(0, 40), (1, 12), (1, 12)]
    assert guide_of(Modelling.KDE, FLAT, [high], generator(0, 0)) is None
    assert guide_of(Modelling.NONE, FLAT, [low], generator(0, 0)) is None


def test_who_has_come_higher_is_better_and_counts_once() -> None:
    low = Results(np.arange(4.0)[:, np.newaxis], np.array([0.5, 0.9, -np.inf, 0.7]), np.array([0, 1, 0, 1], np.bool_))
    high = Results(np.array([[1.0], [3.0]]), np.array([0.2, 0.3]), np.zeros(2, np.bool_))
    places, values = ranked([low, high])
    assert [place for _, place in sorted(zip(-values, places[:, 0], strict=True))] == [3.0, 1.0, 0.0, 2.0]
    assert np.isneginf(values).sum() == 1


def test_trees_learn_of_all_rungs() -> None:
    low, high = results("flat", 9, 0), results("flat", 4, 1)
    assert guide_of(Modelling.TPE, FLAT, [low], generator(0, 0)) is None
    found = guide_of(Modelling.TPE, FLAT, [low, high], generator(0, 0))
    assert found is not None
    assert (found.rung, found.results) == (None, 13)
