"""One table of hyper-parameters: messages, values and the schema that plugins see are made of it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.hyperparameters import HYPERPARAMETERS, TOTALS, recipe_schema
from neunets.synthesizer import api
from neunets.synthesizer.v1 import synthesizer_pb2

FOR_IMAGES = {"shift", "mirror", "cutout", "test_mirror"}
NO_NUMBERS = {"schedule", "resume_trial"}


def properties(usual: dict[str, Any], is_image: bool) -> dict[str, dict[str, Any]]:
    found = recipe_schema(usual, is_image)["properties"]
    assert isinstance(found, dict)
    return found


def errors(recipe: dict[str, Any], is_image: bool = True) -> list[str]:
    """Paths of what the schema refuses."""
    validator = jsonschema.Draft202012Validator(recipe_schema({}, is_image))
    return [error.json_path for error in validator.iter_errors(recipe)]


@st.composite
def values(draw: st.DrawFn) -> dict[str, Any]:
    """Of some hyper-parameters, within their ranges."""
    chosen = draw(st.lists(st.sampled_from(sorted(HYPERPARAMETERS)), unique=True))
    found: dict[str, Any] = {}
    for name in chosen:
        entry = HYPERPARAMETERS[name]
        if isinstance(entry.usual, bool):
            found[name] = draw(st.booleans())
        elif isinstance(entry.usual, int):
            found[name] = draw(st.integers(int(entry.low), int(entry.high)))
        else:
            found[name] = draw(st.floats(entry.low, entry.high))
    return found


def test_every_field_of_a_recipe_is_in_the_table() -> None:
    known = {*HYPERPARAMETERS, *TOTALS, *NO_NUMBERS}
    assert {field.name for field in synthesizer_pb2.Recipe.DESCRIPTOR.fields} == known
    assert {field.name for field in synthesizer_pb2.Recipe.DESCRIPTOR.oneofs_by_name["total"].fields} == set(TOTALS)


def test_a_recipe_of_the_contract_has_the_numbers_of_the_table() -> None:
    assert {field.name for field in fields(api.Recipe)} == {*HYPERPARAMETERS, *TOTALS, *NO_NUMBERS}


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_what_is_usual_is_allowed_and_explained(name: str) -> None:
    entry = HYPERPARAMETERS[name]
    assert entry.low <= entry.usual <= entry.high
    assert entry.meaning


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_a_message_can_hold_both_ends_of_a_range(name: str) -> None:
    entry = HYPERPARAMETERS[name]
    for end in (entry.low, entry.high):
        value = type(entry.usual)(end)
        assert getattr(synthesizer_pb2.Recipe(**{name: value}), name) == pytest.approx(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_image", [False, True])
def test_the_schema_is_one(is_image: bool) -> None:
    jsonschema.Draft202012Validator.check_schema(recipe_schema({}, is_image))


@given(usual=values(), is_image=st.booleans())
def test_every_default_keeps_to_the_schema(usual: dict[str, Any], is_image: bool) -> None:
    defaults = {name: entry["default"] for name, entry in properties(usual, is_image).items() if "default" in entry}
    assert errors(defaults, is_image) == []
    assert defaults.keys() == properties({}, is_image).keys() - TOTALS.keys()
    for name, value in defaults.items():
        assert value == usual.get(name, HYPERPARAMETERS[name].usual)


def test_sequences_have_no_hyper_parameter_of_images() -> None:
    assert properties({}, True).keys() == {*HYPERPARAMETERS, *TOTALS}
    assert properties({}, True).keys() - properties({}, False).keys() == FOR_IMAGES


@given(recipe=values(), epochs=st.floats(*TOTALS["epochs"]))
def test_a_recipe_within_the_ranges_keeps_to_the_schema(recipe: dict[str, Any], epochs: float) -> None:
    assert errors({**recipe, "epochs": epochs}) == []


@pytest.mark.parametrize(
    "recipe",
    [{"learning_rate": 0.0}, {"momentum": 1.0}, {"batch_size": 0}, {"batch_size": 1.5}, {"mirror": 1}, {"steps": 0}],
)
def test_a_value_outside_its_range_or_type_is_refused(recipe: dict[str, Any]) -> None:
    assert errors(recipe) == [f"$.{name}" for name in recipe]


def test_an_unknown_field_is_refused() -> None:
    assert errors({"epoch": 3.0}) == ["$"]
    assert errors({"shift": 1}, is_image=False) == ["$"]
