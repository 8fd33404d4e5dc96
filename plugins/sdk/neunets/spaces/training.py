"""Hyper-parameters that are searched beside a network, and the recipe that follows from them."""

from __future__ import annotations

from typing import Final

from neunets.hyperparameters import HYPERPARAMETERS
from neunets.spaces.parameters import Condition, Configuration, Parameter, Parameters, choice, real, value_of, whole
from neunets.synthesizer.api import Recipe

__all__ = ["recipe_of", "training_parameters"]

BATCHES: Final = (32, 64, 128, 256)
STRENGTHS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
RESTARTS: Final = "cosine_restarts"
MOST_CYCLES: Final = 3
# At full strength, of the smaller extent: 4 and 16 of 32 pixels, as is usual for CIFAR.
SHIFT_PART, CUTOUT_PART = 1 / 8, 1 / 2


def training_parameters(
    is_image: bool, mirror_is_allowed: bool, schedules: tuple[str, ...] = ("one_cycle",)
) -> Parameters:
    """To be added to those of a space. `schedules`: names that a recipe may have.

    `augmentation` is a strength from which shift and, where it is on, cutout in pixels follow.
    """
    entries = [
        real("learning_rate", 0.01, 1.0, is_logarithmic=True),
        real("weight_decay", 1e-5, 1e-2, is_logarithmic=True),
        real("momentum", 0.8, 0.98),
        Parameter("batch_size", BATCHES, True),
        real("label_smoothing", 0.0, 0.2),
        real("averaging", 0.0, 0.5),
        choice("schedule", *schedules),
    ]
    if RESTARTS in schedules:
        entries.append(whole("cycles", 1, MOST_CYCLES, when=(Condition("schedule", (RESTARTS,)),)))
    if is_image:
        entries.append(Parameter("augmentation", STRENGTHS, True))
        entries.append(choice("cutout", False, True, when=(Condition("augmentation", STRENGTHS[1:]),)))
    if is_image and mirror_is_allowed:
        entries.append(choice("mirror", False, True))
    return Parameters(tuple(entries))


def recipe_of(configuration: Configuration, extent: int) -> Recipe:
    """Of a configuration that has `training_parameters`; what they leave open, and the total, the engine chooses.

    `extent`: the smaller one of an image; of a sequence it does not matter.
    """
    is_image = "augmentation" in configuration
    strength = value_of(configuration, "augmentation", float) if is_image else 0.0
    has_cutout = strength > 0.0 and value_of(configuration, "cutout", bool)
    return Recipe(
        learning_rate=value_of(configuration, "learning_rate", float),
        momentum=value_of(configuration, "momentum", float),
        weight_decay=value_of(configuration, "weight_decay", float),
        label_smoothing=value_of(configuration, "label_smoothing", float),
        batch_size=value_of(configuration, "batch_size", int),
        shift=_pixels("shift", strength * SHIFT_PART * extent) if is_image else None,
        mirror=value_of(configuration, "mirror", bool) if "mirror" in configuration else None,
        cutout=_pixels("cutout", has_cutout * strength * CUTOUT_PART * extent) if is_image else None,
        averaging=value_of(configuration, "averaging", float),
        cycles=value_of(configuration, "cycles", int) if "cycles" in configuration else None,
        schedule=value_of(configuration, "schedule", str),
    )


def _pixels(name: str, wanted: float) -> int:
    """As many as a recipe can say."""
    return int(min(round(wanted), HYPERPARAMETERS[name].high))
