"""How a candidate is trained where it does not say: the values that suit the data, and the schema that plugins see."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from neunets.hyperparameters import HYPERPARAMETERS, recipe_schema
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.budget import usual_batch

__all__ = ["complete", "keeps_class", "schema_json", "usual_values"]

Value = float | int | bool
# Peaks of the learning rate. Without batch norm a high one diverges.
NORM_RATE, PLAIN_RATE = 0.3, 0.05
# A shift by more than this part of an image loses what it shows, and by more than half of that where the training is
# not long; below the smallest extent one pixel is much already.
SHIFT_PART: Final = 14
SMALLEST_SHIFTED: Final = 8
# In fewer epochs a network does not learn by heart: there the changes of images only cost accuracy.
LONG_EPOCHS, SHORT_EPOCHS, SHORTEST_EPOCHS = 50.0, 12.0, 5.0
MIRRORS: Final = {service_pb2.RunSpec.MIRROR_YES: True, service_pb2.RunSpec.MIRROR_NO: False}


def keeps_class(spec: service_pb2.RunSpec, dataset: service_pb2.Dataset) -> bool | None:
    """Whether mirrored images keep their class: as the user says, else as it was measured. None: not known."""
    if spec.mirror in MIRRORS:
        return MIRRORS[spec.mirror]
    return dataset.mirror_keeps_class if dataset.HasField("mirror_keeps_class") else None


def usual_values(
    spec: service_pb2.RunSpec, dataset: service_pb2.Dataset, epochs: float, has_norm: bool
) -> dict[str, Value]:
    """Of every hyper-parameter, for a training of so many epochs on these data; `has_norm`: the network normalises."""
    values: dict[str, Value] = {name: entry.usual for name, entry in HYPERPARAMETERS.items()}
    values["learning_rate"] = NORM_RATE if has_norm else PLAIN_RATE
    values["batch_size"] = usual_batch(dataset.train_rows)
    if spec.metric in ("valid_balanced_accuracy", "valid_macro_f1"):
        values["class_weighting"] = 1.0 if spec.metric == "valid_balanced_accuracy" else 0.5
    shape = dataset.input.shape
    if len(shape) == 3:
        extent = min(shape[:2])
        part = SHIFT_PART if epochs >= LONG_EPOCHS else 2 * SHIFT_PART
        most = max(1, extent // part) if extent >= SMALLEST_SHIFTED else 0
        values["shift"] = 0 if epochs < SHORTEST_EPOCHS else min(1, most) if epochs < SHORT_EPOCHS else most
        values["mirror"] = epochs >= SHORT_EPOCHS and keeps_class(spec, dataset) is True
    return values


def schema_json(values: Mapping[str, Value], is_image: bool) -> str:
    return json.dumps(recipe_schema(values, is_image))


def complete(
    asked: synthesizer_pb2.Recipe, total: synthesizer_pb2.Recipe, usual: Mapping[str, Value]
) -> synthesizer_pb2.Recipe:
    """Fill every field that `asked` leaves open; `total` is what ends the training where it names nothing."""
    recipe = synthesizer_pb2.Recipe(schedule=synthesizer_pb2.SCHEDULE_ONE_CYCLE)
    for name, value in usual.items():
        setattr(recipe, name, value)
    recipe.MergeFrom(asked)
    if recipe.schedule == synthesizer_pb2.SCHEDULE_UNSPECIFIED:
        recipe.schedule = synthesizer_pb2.SCHEDULE_ONE_CYCLE
    if recipe.WhichOneof("total") is None:
        recipe.MergeFrom(total)
    return recipe
