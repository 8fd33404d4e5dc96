"""What is known before the first run: trials on a few data sets, which come with this package."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from neunets.graph import DataType, Input
from neunets.similarity import distances, features_of
from neunets.synthesizer import Experience, PastTrial, Problem

__all__ = ["SHIPPED", "compared", "read_experiences", "spelt_experiences"]

SHIPPED: Final = Path(__file__).with_name("first_day.json")
# In place of the synthesizer that has drawn a trial.
SOURCE: Final = "first day"


def read_experiences(path: Path) -> tuple[Experience, ...]:
    """Of a file that `spelt_experiences` has made, `compared` with nothing; none where it is absent or empty."""
    text = path.read_text() if path.exists() else ""
    return tuple(map(_experience, json.loads(text))) if text.strip() else ()


def spelt_experiences(experiences: Sequence[Experience]) -> str:
    """As JSON, a line each; without distances, graphs and synthesizers."""
    return "[\n" + ",\n".join(json.dumps(_entry(each), separators=(",", ":")) for each in experiences) + "\n]\n"


def compared(problem: Problem, experiences: Sequence[Experience]) -> tuple[Experience, ...]:
    """With their distances from the data of the problem."""
    of = features_of(problem.meta_features, problem.train_rows, problem.classes, problem.input.shape)
    known = [features_of(each.meta_features, each.train_rows, each.classes, each.input.shape) for each in experiences]
    pairs = zip(experiences, distances(of, known), strict=True)
    return tuple(replace(each, distance=distance) for each, distance in pairs)


def _entry(experience: Experience) -> dict[str, Any]:
    return {
        "input": asdict(experience.input) | {"dtype": experience.input.dtype.value},
        "classes": experience.classes,
        "train_rows": experience.train_rows,
        "mirror_keeps_class": experience.mirror_keeps_class,
        "meta_features": dict(experience.meta_features),
        "trials": [
            {"labels": dict(each.labels), "metrics": dict(each.metrics), "device_s": each.device_s}
            for each in experience.trials
        ],
    }


def _experience(entry: dict[str, Any]) -> Experience:
    source = entry["input"]
    shape, mean, std = (tuple(source[name]) for name in ("shape", "mean", "std"))
    trials = (PastTrial(SOURCE, None, each["labels"], each["metrics"], each["device_s"]) for each in entry["trials"])
    return Experience(
        Input(source["name"], shape, DataType(source["dtype"]), mean, std),
        entry["classes"],
        entry["train_rows"],
        math.nan,
        tuple(trials),
        entry["mirror_keeps_class"],
        entry["meta_features"],
    )
