"""How templates and children are trained, by preset, data and time."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ncevolve.evolutions import PIXELS, problem_of
from neunets.graph import DataType, Input
from neunets.synthesizer import Budget, Problem, Recipe
from neunets_ncevolve.population import Individual
from neunets_ncevolve.recipes import Recipes
from neunets_ncevolve.settings import PRESETS, SCHEMA, Head, settings_of
from neunets_ncevolve.template import template_of

COLOUR = Input("image", (32, 32, 3), DataType.UINT8, (0.0,) * 3, (1.0,) * 3)
SERIES = Input("sequence", (40, 2), DataType.FLOAT32, (0.0,) * 2, (1.0,) * 2)
FLOPS = 1_000_000
UNLIMITED = Budget(slots=2)


def parent(source: Input = PIXELS, speed: float = 3e9) -> Individual:
    return Individual("c000001", template_of(source, 3, settings_of({})).graph(2), "", fitness=0.5, speed=speed)


def recipes(problem: Problem, **settings: object) -> Recipes:
    return Recipes(problem, settings_of(settings))


def child(problem: Problem, budget: Budget = UNLIMITED, **settings: object) -> Recipe | None:
    return recipes(problem, **settings).child(FLOPS, parent(problem.input), budget)


def given_by(recipe: Recipe | None) -> dict[str, object]:
    assert recipe is not None
    return {name: value for name, value in asdict(recipe).items() if value is not None}


def test_the_paper_s_preset_trains_as_published() -> None:
    problem = replace(problem_of(COLOUR), mirror_keeps_class=True)
    shared = {
        "learning_rate": 0.05,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "label_smoothing": 0.0,
        "batch_size": 32,
        "shift": 4,
        "cutout": 16,
        "mirror": True,
        "schedule": "cosine_restarts",
    }
    assert given_by(recipes(problem, preset="paper").root()) == {"epochs": 63.0, "cycles": 6, **shared}
    assert given_by(child(problem, preset="paper")) == {"epochs": 15.0, "cycles": 4, **shared}
    paper = settings_of({"preset": "paper"})
    assert (paper.tournament, paper.roots, paper.head, paper.width) == (0.15, 1, Head.FLATTEN_FC, 64)


def test_the_fast_preset_leaves_the_template_to_the_engine() -> None:
    problem = problem_of(COLOUR, rows=45_000)
    assert given_by(recipes(problem).root()) == {}
    assert given_by(child(problem)) == {"epochs": 1.11, "learning_rate": 0.03}


@pytest.mark.parametrize(("rows", "epochs"), [(500, 15.0), (10_000, 5.0), (54_000, 1.0)])
def test_a_child_sees_small_data_more_often(rows: int, epochs: float) -> None:
    assert given_by(child(problem_of(rows=rows)))["epochs"] == epochs


@pytest.mark.parametrize(("left_s", "epochs"), [(0.9, None), (1.0, 1.0), (6.0, 2.0), (60.0, 15.0)])
def test_a_child_leaves_time_for_others_but_sees_the_data_once(left_s: float, epochs: float | None) -> None:
    """At 3e9 operations a second, one pass over 1,000 examples of 1e6 takes a second."""
    found = child(problem_of(), Budget(slots=2, wall_s=240.0, wall_s_left=left_s))
    assert (found and found.epochs) == epochs


def test_the_last_children_take_all_the_time_left() -> None:
    budget = Budget(slots=2, wall_s=240.0, wall_s_left=6.0, trials=10, trials_left=2)
    assert given_by(child(problem_of(), budget))["epochs"] == 6.0


def test_where_the_parent_s_speed_is_not_known_the_slot_s_counts() -> None:
    budget = Budget(slots=2, wall_s=240.0, wall_s_left=2.0, slot_flops=1e9)
    assert recipes(problem_of()).child(FLOPS, parent(speed=0.0), budget) is None
    assert recipes(problem_of()).child(FLOPS, parent(speed=3e9), budget) is not None


def test_images_are_mirrored_where_that_is_known_to_keep_the_class() -> None:
    found = {known: given_by(child(replace(problem_of(COLOUR), mirror_keeps_class=known), preset="paper"))["mirror"]
             for known in (None, False, True)}  # fmt: skip
    assert found == {None: False, False: False, True: True}


def test_sequences_are_not_changed_like_images() -> None:
    assert given_by(child(problem_of(SERIES), preset="paper")).keys().isdisjoint({"shift", "cutout", "mirror"})


@given(name=st.sampled_from(sorted(PRESETS)))
def test_a_given_setting_takes_the_place_of_the_preset_s(name: str) -> None:
    found = settings_of({"preset": name, "epochs": 2.0, "batch_size": 64.0, "head": "flatten_fc"})
    assert found == replace(PRESETS[name], epochs=2.0, batch_size=64, head=Head.FLATTEN_FC)
    assert isinstance(found.batch_size, int)


def test_the_schema_takes_all_settings_but_no_others() -> None:
    schema = Draft202012Validator({**SCHEMA, "properties": {**SCHEMA["properties"]}})
    for preset in PRESETS.values():
        told = {name: value for name, value in asdict(preset).items() if value is not None}
        schema.validate({**told, "head": preset.head.value})
        assert asdict(preset).keys() | {"preset"} == schema.schema["properties"].keys()
    assert not schema.is_valid({"epoch": 2.0})
    assert not schema.is_valid({"preset": "slow"})
