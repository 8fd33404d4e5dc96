"""Problems as the engine sends them, settings, budgets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import struct_pb2

from neunets.conform.check import NotStarted
from neunets.graph import DataType, Input
from neunets.hyperparameters import recipe_schema
from neunets.synthesizer import Problem
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.wire import input_to_proto

__all__ = ["TASKS", "budget", "message_of", "problem_of", "settings_of", "surveyed", "usual"]

IMAGE: Final = "image-classification"
SEQUENCE: Final = "sequence-classification"
TASKS: Final = (IMAGE, SEQUENCE)
OPSET, IR_MAX = 17, 8
PIXELS: Final = Input("image", (28, 28, 1), DataType.UINT8, (72.9,), (90.0,))
SMALL_PIXELS: Final = Input("image", (16, 16, 3), DataType.UINT8, (125.3, 123.0, 113.9), (63.0, 62.1, 66.7))
SERIES: Final = Input("sequence", (48, 2), DataType.FLOAT32, (0.0, 0.5), (1.0, 2.0))
# Enough for a convolution of a few channels, less than half of what a usual network has.
TIGHT_PARAMS: Final = 5_000
MOST, SOME = 200, 32
WALL_S, TRIALS, SLOTS, SLOT_FLOPS = 3600.0, 4096, 2, 5e10


def usual(description: pb.DescribeResponse) -> pb.Problem:
    """Of the first task that the plugin and the kit know. Raises: NotStarted if there is none."""
    task = next((task for task in TASKS if task in description.tasks), None)
    if task is None:
        raise NotStarted(
            f"the plugin takes {', '.join(description.tasks) or 'no task'}; the kit has {', '.join(TASKS)}"
        )
    return problem_of(task)


def surveyed(description: pb.DescribeResponse) -> list[tuple[pb.Problem, int]]:
    """The problems of a whole search, with how many candidates are looked at. The last one has a tight hard bound."""
    first = usual(description)
    others = [problem_of(task) for task in TASKS if task in description.tasks and task != first.task]
    tight = problem_of(first.task, is_small=True)
    tight.constraints.add(metric="params", max=float(TIGHT_PARAMS), hard=True)
    return [(first, MOST), *((problem, SOME) for problem in (*others, tight))]


def problem_of(task: str, is_small: bool = False) -> pb.Problem:
    source, classes, rows = (PIXELS, 10, 54_000) if task == IMAGE else (SERIES, 5, 4_000)
    if is_small:
        source, classes, rows = SMALL_PIXELS if task == IMAGE else SERIES, 4, 1_600
    problem = Problem(
        task,
        source,
        classes,
        train_rows=rows,
        valid_rows=rows // 9,
        class_rows=(rows // classes,) * classes,
        meta_features={"imbalance": 1.0},
        recipe_schema=recipe_schema({}, task == IMAGE),
    )
    return message_of(problem)


def message_of(problem: Problem) -> pb.Problem:
    message = pb.Problem(
        task=problem.task,
        input=input_to_proto(problem.input),
        dataset=pb.DatasetProfile(
            train_rows=problem.train_rows,
            valid_rows=problem.valid_rows,
            classes=problem.classes,
            meta_features=problem.meta_features,
            sha256=f"{problem.train_rows:064x}",
            class_rows=problem.class_rows,
        ),
        objectives=[pb.Objective(metric=problem.metric, maximize=True)],
        onnx_opset=OPSET,
        onnx_ir_max=IR_MAX,
        recipe_schema_json=json.dumps(problem.recipe_schema),
    )
    if problem.mirror_keeps_class is not None:
        message.dataset.mirror_keeps_class = problem.mirror_keeps_class
    for metric, bound in {"params": problem.max_params, "flops": problem.max_flops}.items():
        if bound is not None:
            message.constraints.add(metric=metric, max=float(bound), hard=True)
    return message


def budget(trials_made: int, wall_s_used: float) -> pb.Budget:
    return pb.Budget(
        wall_s=WALL_S,
        trials=TRIALS,
        slots=SLOTS,
        wall_s_left=max(0.0, WALL_S - wall_s_used),
        trials_left=max(0, TRIALS - trials_made),
        slot_flops=SLOT_FLOPS,
    )


def settings_of(schema_json: str) -> struct_pb2.Struct:
    """The defaults of the plugin's schema, and something simple where a required setting has none."""
    settings = struct_pb2.Struct()
    try:
        schema = json.loads(schema_json or "{}")
    except ValueError:
        return settings
    if not isinstance(schema, dict) or not isinstance(schema.get("properties", {}), dict):
        return settings
    required = schema.get("required", [])
    for name, rule in schema.get("properties", {}).items():
        if isinstance(rule, dict) and ("default" in rule or name in required):
            settings.update({name: _value(rule)})
    return settings


def _value(rule: Mapping[str, Any]) -> Any:
    for key in ("default", "const"):
        if key in rule:
            return rule[key]
    for key in ("enum", "examples"):
        if rule.get(key):
            return rule[key][0]
    simple = {"boolean": False, "string": "", "array": [], "object": {}, "null": None}
    return simple.get(str(rule.get("type")), rule.get("minimum", rule.get("maximum", 1)))
