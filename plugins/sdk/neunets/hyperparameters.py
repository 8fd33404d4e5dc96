"""The numbers of a recipe as one table: their ranges, what the engine takes where none is given, and what they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["HYPERPARAMETERS", "TOTALS", "Hyperparameter", "recipe_schema"]

Value = float | int | bool


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """`low`..`high`, both allowed. The type of `usual` is the type of all its values."""

    low: float
    high: float
    usual: Value
    meaning: str
    is_logarithmic: bool = False  # its sensible values differ by factors
    is_for_images: bool = False

    def schema(self, usual: Value) -> dict[str, object]:
        """JSON Schema 2020-12 of one value."""
        kind = "boolean" if isinstance(self.usual, bool) else "integer" if isinstance(self.usual, int) else "number"
        bounds = {} if kind == "boolean" else {"minimum": self.low, "maximum": self.high}
        scale = {"x-scale": "log"} if self.is_logarithmic else {}
        return {"type": kind, **bounds, "default": usual, "description": self.meaning, **scale}


_TABLE: Final = {
    "learning_rate": Hyperparameter(1e-8, 1e3, 0.1, "peak of the learning rate", is_logarithmic=True),
    "momentum": Hyperparameter(0.0, 0.9999, 0.9, "Nesterov's momentum"),
    "weight_decay": Hyperparameter(0.0, 10.0, 5e-4, "decay of matrices and kernels"),
    "label_smoothing": Hyperparameter(0.0, 0.9, 0.1, "probability that is spread over all classes"),
    "batch_size": Hyperparameter(1, 1 << 16, 128, "examples of a step", is_logarithmic=True),
    "warmup": Hyperparameter(
        0.0, 1.0, 0.2, "fraction of the training, of a constant rate of the first epoch, during which the rate rises"
    ),
    "shift": Hyperparameter(0, 64, 0, "largest random shift, in pixels", is_for_images=True),
    "mirror": Hyperparameter(0, 1, False, "random left-right mirror", is_for_images=True),
    "cutout": Hyperparameter(0, 256, 0, "side of a random square that is blanked, in pixels", is_for_images=True),
    "averaging": Hyperparameter(0.0, 0.9, 0.0, "last fraction of the steps whose weights are averaged"),
    "norm_momentum": Hyperparameter(0.0, 1.0, 0.0, "share of a new batch in running statistics; 0: the node's own"),
    "test_mirror": Hyperparameter(0, 1, False, "predict for an image and its mirror", is_for_images=True),
    "class_weighting": Hyperparameter(0.0, 1.0, 0.0, "weight of a class by its frequency to the minus this"),
    "cycles": Hyperparameter(1, 16, 1, "restarts of the rate, each twice as long; of the schedule cosine_restarts"),
}
HYPERPARAMETERS: Final[Mapping[str, Hyperparameter]] = MappingProxyType(_TABLE)
# What ends a training; a recipe has one of them. Field → (lowest, highest).
TOTALS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {"epochs": (1e-3, 1e5), "device_s": (0.1, 1e7), "steps": (1, 1_000_000_000)}
)


def recipe_schema(usual: Mapping[str, Value], is_image: bool) -> dict[str, object]:
    """JSON Schema 2020-12 of a candidate's recipe; `usual`: the values of these data that differ from the table's."""
    chosen = {
        name: entry.schema(usual.get(name, entry.usual))
        for name, entry in HYPERPARAMETERS.items()
        if is_image or not entry.is_for_images
    }
    totals = {
        name: {"type": "integer" if name == "steps" else "number", "minimum": low, "maximum": high}
        for name, (low, high) in TOTALS.items()
    }
    return {"type": "object", "properties": {**totals, **chosen}, "additionalProperties": False}
