"""A candidate's recipe is completed by the values that suit the data, and keeps all that it says."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.hyperparameters import HYPERPARAMETERS
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.recipes import SHORT_EPOCHS, SHORTEST_EPOCHS, complete, keeps_class, schema_json, usual_values
from neunets_trainer.recipe import recipe_from_proto

Recipe = synthesizer_pb2.Recipe
Spec = service_pb2.RunSpec
MODERATE = st.floats(0.0, 0.75)
LONG = 100.0
METRICS = ("", "valid_accuracy", "valid_balanced_accuracy", "valid_macro_f1")


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Any part of a recipe, zeros too."""
    kinds: dict[type, st.SearchStrategy[Any]] = {bool: st.booleans(), int: st.integers(1, 9), float: MODERATE}
    fields = {name: kinds[type(entry.usual)] for name, entry in HYPERPARAMETERS.items()}
    chosen = draw(st.fixed_dictionaries({}, optional={**fields, "schedule": st.sampled_from((0, 1))}))
    recipe = Recipe(**chosen)
    totals = (Recipe(), Recipe(epochs=0.0), Recipe(epochs=3.0), Recipe(device_s=5.0), Recipe(steps=7))
    recipe.MergeFrom(draw(st.sampled_from(totals)))
    return recipe


def a_dataset(
    shape: tuple[int, ...] = (28, 28, 1), rows: int = 1000, keeps_class: bool | None = None
) -> service_pb2.Dataset:
    dataset = service_pb2.Dataset(train_rows=rows, mirror_keeps_class=keeps_class)
    dataset.input.shape.extend(shape)
    return dataset


@st.composite
def settings_of_values(draw: st.DrawFn) -> tuple[Spec, service_pb2.Dataset, float, bool]:
    """Arguments of `usual_values`."""
    spec = Spec(metric=draw(st.sampled_from(METRICS)), mirror=draw(st.sampled_from(Spec.Mirror.values())))
    extents = draw(st.lists(st.integers(1, 256), min_size=1, max_size=2))
    mirrored = draw(st.sampled_from((None, False, True)))
    dataset = a_dataset((*extents, draw(st.integers(1, 4))), draw(st.integers(1, 10**7)), mirrored)
    return spec, dataset, draw(st.floats(0.0, 1000.0)), draw(st.booleans())


def usual(epochs: float = LONG, has_norm: bool = True, spec: Spec | None = None, **data: Any) -> dict[str, Any]:
    return usual_values(spec or Spec(), a_dataset(**data), epochs, has_norm)


@given(arguments=settings_of_values())
def test_every_hyper_parameter_has_a_usual_value_that_is_allowed(
    arguments: tuple[Spec, service_pb2.Dataset, float, bool],
) -> None:
    values = usual_values(*arguments)
    assert values.keys() == HYPERPARAMETERS.keys()
    jsonschema.Draft202012Validator(json.loads(schema_json({}, is_image=True))).validate(values)


@given(asked=recipes(), arguments=settings_of_values(), is_timed=st.booleans())
def test_a_completed_recipe_can_be_trained_by(
    asked: Recipe, arguments: tuple[Spec, service_pb2.Dataset, float, bool], is_timed: bool
) -> None:
    total = Recipe(device_s=7.0) if is_timed else Recipe(epochs=0.0)
    recipe_from_proto(complete(asked, total, usual_values(*arguments)))  # refuses what is unset


@given(asked=recipes(), arguments=settings_of_values())
def test_a_completed_recipe_keeps_what_was_asked(
    asked: Recipe, arguments: tuple[Spec, service_pb2.Dataset, float, bool]
) -> None:
    values = usual_values(*arguments)
    whole = complete(asked, Recipe(device_s=7.0), values)
    for field, value in asked.ListFields():
        assert getattr(whole, field.name) == value
    for name, value in values.items():
        if not asked.HasField(name):  # type: ignore[arg-type]
            assert getattr(whole, name) == value
    assert whole.WhichOneof("total") == (asked.WhichOneof("total") or "device_s")


@given(asked=recipes(), arguments=settings_of_values())
def test_to_complete_changes_nothing_that_was_given(
    asked: Recipe, arguments: tuple[Spec, service_pb2.Dataset, float, bool]
) -> None:
    before, total = asked.SerializeToString(deterministic=True), Recipe(epochs=2.0)
    complete(asked, total, usual_values(*arguments))
    assert asked.SerializeToString(deterministic=True) == before
    assert total == Recipe(epochs=2.0)


MIDDLING = [(20.0, extent, shift) for extent, shift in ((7, 0), (8, 1), (28, 1), (32, 1), (224, 8))]
LONG = [(50.0, extent, shift) for extent, shift in ((7, 0), (8, 1), (28, 2), (32, 2), (224, 16))]
EXTENTS = MIDDLING + LONG


@given(epochs=st.floats(0.0, 100.0), extent=st.integers(1, 256))
def test_images_are_changed_only_in_long_trainings(epochs: float, extent: int) -> None:
    values = usual(epochs, shape=(extent, extent, 3), keeps_class=True)
    assert values["shift"] == 0 or epochs >= SHORTEST_EPOCHS
    assert values["shift"] <= 1 or epochs >= SHORT_EPOCHS
    assert values["mirror"] == (epochs >= SHORT_EPOCHS)


@pytest.mark.parametrize(("epochs", "extent", "shift"), EXTENTS)
def test_the_largest_shift_grows_with_the_smaller_extent(epochs: float, extent: int, shift: int) -> None:
    assert usual(epochs, shape=(extent, 300, 3))["shift"] == shift
    assert usual(epochs, shape=(300, extent, 3))["shift"] == shift


@pytest.mark.parametrize(("keeps", "mirrors"), [(None, False), (False, False), (True, True)])
def test_only_images_that_keep_their_class_are_mirrored(keeps: bool | None, mirrors: bool) -> None:
    assert usual(keeps_class=keeps)["mirror"] is mirrors


def test_sequences_are_not_changed() -> None:
    values = usual(shape=(100, 3), spec=Spec(mirror=Spec.MIRROR_NO))
    assert (values["shift"], values["mirror"]) == (0, False)


def test_without_normalisation_the_learning_rate_is_lower() -> None:
    assert usual(has_norm=False)["learning_rate"] < usual(has_norm=True)["learning_rate"]


@pytest.mark.parametrize(("rows", "batch"), [(1, 8), (128, 8), (800, 50), (2048, 128), (10**6, 128)])
def test_small_data_sets_have_small_batches(rows: int, batch: int) -> None:
    assert usual(rows=rows)["batch_size"] == batch


@pytest.mark.parametrize(
    ("metric", "weighting"),
    [("", 0.0), ("valid_accuracy", 0.0), ("valid_balanced_accuracy", 1.0), ("valid_macro_f1", 0.5)],
)
def test_classes_are_weighted_where_the_metric_does_so(metric: str, weighting: float) -> None:
    assert usual(spec=Spec(metric=metric))["class_weighting"] == weighting


@pytest.mark.parametrize("measured", [None, False, True])
@pytest.mark.parametrize(
    ("said", "answer"), [(Spec.MIRROR_YES, True), (Spec.MIRROR_NO, False), (Spec.MIRROR_UNSPECIFIED, None)]
)
def test_what_the_user_says_of_mirrors_goes_before_what_was_measured(
    measured: bool | None, said: Spec.Mirror.ValueType, answer: bool | None
) -> None:
    expected = measured if answer is None else answer
    assert keeps_class(Spec(mirror=said), a_dataset(keeps_class=measured)) is expected
