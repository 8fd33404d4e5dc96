"""A run's specification and data: what is refused, and what the synthesizer is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fakes import IMAGE
from neunets.errors import InvalidRequest
from neunets.graph import DataType, Input
from neunets.hyperparameters import HYPERPARAMETERS
from neunets.service.v1 import service_pb2
from neunets.synthesizer import wire
from neunets.wire import input_to_proto
from neunets_engine.setting import METRICS, Setting
from neunets_engine.store import Store

Spec = service_pb2.RunSpec
SEQUENCE = Input("sequence", (40, 2), DataType.FLOAT32, (0.0, 0.5), (1.0, 2.0))


def a_setting(source: Input = IMAGE, keeps_class: bool | None = None, **spec: Any) -> Setting:
    """Four classes, a budget of 60 s unless another is given."""
    if not {"wall_s", "trials"} & spec.keys():
        spec["wall_s"] = 60.0
    dataset = service_pb2.Dataset(
        name="datasets/abc",
        task="image-classification" if source is IMAGE else "sequence-classification",
        input=input_to_proto(source),
        classes=["a", "b", "c", "d"],
        train_rows=100,
        valid_rows=20,
        test_rows=30,
        class_rows=[40, 30, 20, 10],
        sha256="abc",
        meta_features={"imbalance": 4.0},
        mirror_keeps_class=keeps_class,
    )
    return Setting(Spec(dataset=dataset.name, **spec), dataset)


@pytest.mark.parametrize(
    ("source", "spec", "field"),
    [
        (IMAGE, {"wall_s": 1.0}, "spec.wall_s"),
        (IMAGE, {"trials": 0}, "spec.trials"),
        (IMAGE, {"max_params": 0}, "spec.max_params"),
        (IMAGE, {"metric": "accuracy"}, "spec.metric"),
        (IMAGE, {"metric": "valid_loss"}, "spec.metric"),
        (SEQUENCE, {"mirror": Spec.MIRROR_YES}, "spec.mirror"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_field(source: Input, spec: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        a_setting(source, **spec).check(2)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("source", "spec"),
    [
        (IMAGE, {}),
        (IMAGE, {"trials": 1}),
        (IMAGE, {"max_params": 1}),
        (IMAGE, {"mirror": Spec.MIRROR_YES}),
        (IMAGE, {"mirror": Spec.MIRROR_NO}),
        (SEQUENCE, {"mirror": Spec.MIRROR_NO}),
        *((IMAGE, {"metric": metric}) for metric in METRICS),
    ],
)
def test_what_makes_sense_is_not(source: Input, spec: dict[str, Any]) -> None:
    a_setting(source, **spec).check(1)


def test_the_synthesizer_is_told_what_is_known_of_the_data() -> None:
    setting = a_setting()
    problem = setting.problem()
    assert (problem.task, problem.input) == (setting.dataset.task, setting.dataset.input)
    profile = problem.dataset
    assert (profile.train_rows, profile.valid_rows, profile.classes, profile.sha256) == (100, 20, 4, "abc")
    assert list(profile.class_rows) == [40, 30, 20, 10]
    assert dict(profile.meta_features) == {"imbalance": 4.0}
    assert problem.onnx_opset > 0
    assert problem.onnx_ir_max > 0


@pytest.mark.parametrize(
    ("measured", "said", "keeps"),
    [
        (None, Spec.MIRROR_UNSPECIFIED, None),
        (True, Spec.MIRROR_UNSPECIFIED, True),
        (False, Spec.MIRROR_UNSPECIFIED, False),
        (None, Spec.MIRROR_YES, True),
        (True, Spec.MIRROR_NO, False),
    ],
)
def test_mirrors_are_as_the_user_says_or_as_measured_or_unknown(
    measured: bool | None, said: Spec.Mirror.ValueType, keeps: bool | None
) -> None:
    setting = a_setting(keeps_class=measured, mirror=said)
    assert wire.problem_from_proto(setting.problem()).mirror_keeps_class is keeps
    assert setting.problem().dataset.HasField("mirror_keeps_class") == (keeps is not None)
    assert setting.rules().keeps_class is keeps
    assert setting.wants_mirror_measured == (keeps is None)


def test_of_sequences_no_mirror_is_measured() -> None:
    assert not a_setting(SEQUENCE).wants_mirror_measured


@pytest.mark.parametrize(("metric", "objective"), [("", "valid_accuracy"), *((metric, metric) for metric in METRICS)])
def test_the_metric_is_the_one_objective(metric: str, objective: str) -> None:
    setting = a_setting(metric=metric)
    (found,) = setting.problem().objectives
    assert (found.metric, found.maximize) == (objective, True)
    assert setting.metric == objective


@pytest.mark.parametrize("most", [None, 5000])
def test_a_bound_on_the_parameters_is_a_hard_constraint(most: int | None) -> None:
    setting = a_setting(max_params=most)
    assert wire.problem_from_proto(setting.problem()).max_params == most
    assert setting.rules().max_params == most
    assert all(constraint.hard for constraint in setting.problem().constraints)


@pytest.mark.parametrize("source", [IMAGE, SEQUENCE])
def test_the_schema_of_a_recipe_is_one_for_these_data(source: Input) -> None:
    schema = json.loads(a_setting(source, metric="valid_balanced_accuracy").problem().recipe_schema_json)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["batch_size"]["default"] == 8
    assert schema["properties"]["class_weighting"]["default"] == 1.0
    for name, entry in HYPERPARAMETERS.items():
        assert (name in schema["properties"]) == (source is IMAGE or not entry.is_for_images)


def test_the_rules_have_the_input_and_the_classes() -> None:
    rules = a_setting(SEQUENCE).rules()
    assert (rules.input, rules.classes) == (SEQUENCE, 4)


def test_the_opening_is_the_whole_contract() -> None:
    setting = a_setting(seed=2**64 - 1, trials=7, wall_s=60.0)
    setting.spec.settings["width"] = 3.0
    opening = setting.opening("r1", epoch=5, slots=2)
    assert (opening.call.run, opening.call.epoch, opening.call.request_id) == ("r1", 5, "open-r1")
    assert opening.problem == setting.problem()
    assert (opening.settings, opening.seed) == (setting.spec.settings, 2**64 - 1)
    budget = opening.budget
    assert (budget.slots, budget.wall_s, budget.trials, budget.trials_left) == (2, 60.0, 7, 7)
    assert not budget.HasField("slot_flops")
    assert not opening.validate_only


def test_the_plan_knows_the_rows() -> None:
    plan = a_setting().plan(3)
    assert (plan.slots, plan.train_rows, plan.test_rows) == (3, 100, 30)


async def test_a_setting_is_read_as_the_store_has_it(tmp_path: Path) -> None:
    expected, store = a_setting(keeps_class=True), Store(tmp_path)
    await store.put_dataset(expected.dataset)
    await store.create_run(service_pb2.Run(name="runs/r1", spec=expected.spec), "")
    assert Setting.of(store, "r1") == expected
    store.close()
