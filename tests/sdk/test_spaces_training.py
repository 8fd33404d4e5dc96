"""Searched hyper-parameters make recipes that the engine takes."""

from __future__ import annotations

from dataclasses import asdict

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.draws import generator
from neunets.graph import DataType, Input
from neunets.hyperparameters import recipe_schema
from neunets.spaces import BranchedCells, Configuration, Motifs, PlainChains, SkipChains, recipe_of, training_parameters
from neunets.synthesizer import Recipe

SEEDS = st.integers(0, 2**64 - 1)
IMAGE_ONLY = {"shift", "mirror", "cutout", "test_mirror"}
SCHEDULES = ("one_cycle", "cosine_restarts", "constant")
GREY = Input("image", (28, 28, 1), DataType.UINT8, (0.0,), (1.0,))


def image_configuration(**values: float | bool) -> Configuration:
    space = training_parameters(is_image=True, mirror_is_allowed=True)
    return space.completed({**space.first(), **values}, generator(0, 0))


@given(
    is_image=st.booleans(),
    mirror=st.booleans(),
    schedules=st.lists(st.sampled_from(SCHEDULES), min_size=1, unique=True),
    extent=st.integers(1, 4096),
    seed=SEEDS,
)
def test_every_recipe_keeps_to_the_schema(
    is_image: bool, mirror: bool, schedules: list[str], extent: int, seed: int
) -> None:
    space = training_parameters(is_image, mirror, tuple(schedules))
    recipe = recipe_of(space.sample(generator(seed, 0)), extent)
    numbers = {name: value for name, value in asdict(recipe).items() if value is not None and name != "schedule"}
    jsonschema.Draft202012Validator(recipe_schema({}, is_image)).validate(numbers)
    assert recipe.schedule in schedules
    assert is_image or not numbers.keys() & IMAGE_ONLY
    assert mirror or recipe.mirror is None
    assert recipe.cycles is None or recipe.schedule == "cosine_restarts"


def test_a_recipe_says_what_was_chosen_and_leaves_the_rest_to_the_engine() -> None:
    configuration = {
        "learning_rate": 0.1,
        "weight_decay": 1e-4,
        "momentum": 0.9,
        "batch_size": 64,
        "label_smoothing": 0.1,
        "averaging": 0.2,
        "schedule": "one_cycle",
        "augmentation": 1.0,
        "cutout": True,
        "mirror": True,
    }
    assert recipe_of(configuration, 32) == Recipe(
        learning_rate=0.1,
        weight_decay=1e-4,
        momentum=0.9,
        batch_size=64,
        label_smoothing=0.1,
        averaging=0.2,
        schedule="one_cycle",
        shift=4,
        cutout=16,
        mirror=True,
    )


@pytest.mark.parametrize(
    ("strength", "extent", "shift", "cutout"), [(0.0, 32, 0, 0), (0.5, 32, 2, 8), (0.25, 28, 1, 4), (1.0, 4, 0, 2)]
)
def test_changes_in_pixels_follow_the_strength_and_the_extent(
    strength: float, extent: int, shift: int, cutout: int
) -> None:
    recipe = recipe_of(image_configuration(augmentation=strength, cutout=True), extent)
    assert (recipe.shift, recipe.cutout) == (shift, cutout)


def test_without_augmentation_there_is_no_cutout_to_choose() -> None:
    assert "cutout" not in image_configuration(augmentation=0.0, cutout=True)
    assert "cutout" in image_configuration(augmentation=0.25, cutout=True)
    assert recipe_of(image_configuration(augmentation=0.25, cutout=False), 32).cutout == 0


@pytest.mark.parametrize("kind", [PlainChains, SkipChains, BranchedCells, Motifs])
def test_network_and_recipe_are_one_space_that_a_label_holds(
    kind: type[PlainChains] | type[SkipChains] | type[BranchedCells] | type[Motifs],
) -> None:
    space = kind(GREY, 10)
    joint = space.parameters + training_parameters(True, True, SCHEDULES)
    configuration = joint.sample(generator(0, 0))
    assert len(joint.spell(configuration)) <= 256
    own = {name: value for name, value in configuration.items() if name in {entry.name for entry in space.parameters}}
    assert space.graph(configuration) == space.graph(own)
    assert recipe_of(configuration, 28).learning_rate == configuration["learning_rate"]
