"""Recorded learning curves: of any network and training, those of the most similar one that was really trained."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from neunets.graph import DataType, Graph, Input
from neunets.hyperparameters import recipe_schema
from neunets.simulation.features import FEATURES, TRAINING, features
from neunets.synthesizer import Problem

__all__ = ["RECORDED_SPACES", "SHIPPED", "Curve", "Recorded", "Table", "shipped", "write_table"]

Array = NDArray[np.float64]
Packed = NDArray[np.uint16]
# Of which the recorded networks are.
RECORDED_SPACES: Final = ("plain", "skip")
SHIPPED: Final = Path(str(files("neunets.simulation") / "table.npz"))
# What a feature counts for that tells nothing of the accuracy, in correlations.
LEAST_WEIGHT: Final = 0.05
# Of an accuracy and a loss in the file.
ACCURACY_STEP, LOSS_STEP = 1e-4, 1e-3


@dataclass(frozen=True, slots=True)
class Curve:
    """Of one training: validated after each epoch, (E,), not a number from where it has diverged. `chance`: before."""

    chance: float
    accuracies: Array
    losses: Array

    @property
    def epochs(self) -> int:
        return len(self.accuracies)

    def accuracy(self, epochs: float) -> float:
        """After so many epochs, also a part of one; beyond the last one it stays."""
        return _between(self.chance, self.accuracies, epochs)

    def loss(self, epochs: float) -> float:
        return _between(-math.log(self.chance), self.losses, epochs)


def _between(start: float, values: Array, epochs: float) -> float:
    whole = min(math.floor(epochs), len(values))
    before = start if whole == 0 else float(values[whole - 1])
    part = epochs - whole
    if not part or whole == len(values):
        return before
    return before + part * (float(values[whole]) - before)


@dataclass(frozen=True, slots=True)
class Recorded:
    """Trainings on one data set. `places`: (N, F) of their networks and recipes, in deviations times weights.

    `accuracies`, `losses`: (N, E), not a number from where a training has diverged. `is_usual`: (N,), trained as the
    engine would by itself.
    """

    name: str
    problem: Problem
    places: Array
    centre: Array  # (F,)
    scale: Array  # (F,)
    accuracies: Array
    losses: Array
    is_usual: NDArray[np.bool_]

    @property
    def epochs(self) -> int:
        return int(self.accuracies.shape[1])

    @property
    def flops(self) -> Array:
        """(N,) of the networks, for one example."""
        place = FEATURES.index("log_flops")
        return np.asarray(np.exp2(self.places[:, place] / self.scale[place] + self.centre[place]))

    @property
    def best(self) -> float:
        """Accuracy, of all trainings at any epoch."""
        return float(np.nanmax(self.accuracies))

    def searched(self) -> Recorded:
        """Without those that were trained as usual: a search over all hyper-parameters hardly comes to them."""
        kept = ~self.is_usual
        rows = {name: getattr(self, name)[kept] for name in ("places", "accuracies", "losses", "is_usual")}
        return replace(self, **rows)

    def nearest(self, graph: Graph, recipe: Mapping[str, float]) -> int:
        """The row that is most similar. `recipe`: values that differ from the usual ones. Raises: InvalidGraph."""
        usual: Any = self.problem.recipe_schema["properties"]
        whole = {name: usual[name]["default"] for name in TRAINING} | dict(recipe)
        place = (features(graph, whole) - self.centre) * self.scale
        return int(np.argmin(((self.places - place) ** 2).sum(axis=1)))

    def curve(self, row: int) -> Curve:
        return Curve(1.0 / self.problem.classes, self.accuracies[row], self.losses[row])


@dataclass(frozen=True, slots=True)
class Table:
    """Row k is the same configuration on all data sets, as far as each allows it."""

    recorded: tuple[Recorded, ...]

    @staticmethod
    def read(path: Path) -> Table:
        """What `write_table` has written."""
        with np.load(path, allow_pickle=False) as file:
            told = json.loads(str(file["told"]))
            arrays = [file[name] for name in ("features", "accuracies", "losses")]
            is_usual = file["is_usual"]
        rows = zip(told, *arrays, strict=True)
        return Table(tuple(_recorded(each, given, curves, losses, is_usual) for each, given, curves, losses in rows))


def write_table(
    path: Path,
    problems: Mapping[str, Problem],
    columns: Sequence[tuple[Array, Array, Array]],
    usual: Mapping[str, float],
    is_usual: Sequence[bool],
) -> None:
    """`columns`: of each problem features (N, F), accuracies and losses (N, E).

    `usual`: what a recipe has where it leaves hyper-parameters open, as far as it differs from the table of these;
    `is_usual`: of each row, whether it was trained so.
    """
    told = [
        {
            "name": name,
            "input": {
                "name": problem.input.name,
                "shape": problem.input.shape,
                "dtype": problem.input.dtype.value,
                "mean": problem.input.mean,
                "std": problem.input.std,
            },
            "task": problem.task,
            "max_flops": problem.max_flops,
            "classes": problem.classes,
            "train_rows": problem.train_rows,
            "valid_rows": problem.valid_rows,
            "class_rows": problem.class_rows,
            "mirror_keeps_class": problem.mirror_keeps_class,
            "meta_features": dict(problem.meta_features),
            "usual": dict(usual),
        }
        for name, problem in problems.items()
    ]
    given, accuracies, losses = (np.stack(column) for column in zip(*columns, strict=True))
    np.savez_compressed(
        path,
        told=np.array(json.dumps(told)),
        features=given.astype(np.float32),
        accuracies=_packed(accuracies, ACCURACY_STEP),
        losses=_packed(losses, LOSS_STEP),
        is_usual=np.array(is_usual, np.bool_),
    )


@lru_cache(1)
def shipped() -> Table:
    """The one that comes with this package."""
    return Table.read(SHIPPED)


def _recorded(
    told: Mapping[str, object], given: Array, accuracies: Packed, losses: Packed, is_usual: NDArray[np.bool_]
) -> Recorded:
    values = dict(told)
    name, source = str(values.pop("name")), values.pop("input")
    assert isinstance(source, dict)
    source = Input(source["name"], tuple(source["shape"]), DataType(source["dtype"]), *_moments(source))
    values["class_rows"] = tuple(values["class_rows"])  # type: ignore[arg-type]
    schema = _schema(values.pop("usual"), accuracies.shape[1])  # type: ignore[arg-type]
    problem = Problem(input=source, recipe_schema=schema, **values)  # type: ignore[arg-type]
    curves = _unpacked(accuracies, ACCURACY_STEP)
    wide = given.astype(np.float64)
    deviations = wide.std(axis=0)
    scale = _weights(wide, curves) / np.where(deviations > 0.0, deviations, 1.0)
    centre = wide.mean(axis=0)
    places = (wide - centre) * scale
    return Recorded(name, problem, places, centre, scale, curves, _unpacked(losses, LOSS_STEP), is_usual)


def _schema(usual: Mapping[str, float], epochs: int) -> dict[str, Any]:
    """Of recipes whose trainings were recorded to the end."""
    schema: dict[str, Any] = recipe_schema(usual, is_image=True)
    schema["properties"]["epochs"]["maximum"] = epochs
    return schema


def _moments(source: Mapping[str, list[float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(source["mean"]), tuple(source["std"])


def _weights(given: Array, accuracies: Array) -> Array:
    """(F,): how much each feature tells of the last accuracy: its rank correlation, and no less than a little."""
    ends = _ranks(np.where(np.isnan(accuracies[:, -1]), -1.0, accuracies[:, -1]))
    found = [abs(float(np.corrcoef(_ranks(column), ends)[0, 1])) if np.ptp(column) else 0.0 for column in given.T]
    assert len(found) == len(FEATURES)
    return np.asarray(np.maximum(np.array(found), LEAST_WEIGHT))


def _ranks(values: Array) -> Array:
    """(N,) with equal values at their mean rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2.0)[places], np.float64)


def _packed(values: Array, step: float) -> Packed:
    """The largest number stands for what is none."""
    most = np.iinfo(np.uint16).max
    steps = np.minimum(np.round(np.nan_to_num(values) / step), most - 1)
    return np.where(np.isnan(values), most, steps).astype(np.uint16)


def _unpacked(values: Packed, step: float) -> Array:
    return np.where(values == np.iinfo(np.uint16).max, np.nan, values * step)
