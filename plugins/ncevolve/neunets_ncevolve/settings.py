"""What users may set, as one table, and the presets that it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Final

__all__ = ["PRESETS", "SCHEMA", "Head", "Settings", "settings_of"]


class Head(Enum):
    """What stands between the last map and the logits."""

    GLOBAL_POOL = "global_pool"
    FLATTEN_FC = "flatten_fc"


@dataclass(frozen=True, slots=True)
class Settings:
    """See `SCHEMA` for what each means. None: as suits the data and the budget, or the engine's choice."""

    tournament: float
    roots: int
    head: Head
    pools_stem: bool
    width: int
    passes: float
    search_passes: float
    shares: float
    noise: float
    patience: int
    cells: int | None = None
    root_epochs: float | None = None
    epochs: float | None = None
    root_cycles: int | None = None
    cycles: int | None = None
    root_learning_rate: float | None = None
    learning_rate: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    label_smoothing: float | None = None
    batch_size: int | None = None
    shift: float | None = None
    cutout: float | None = None
    mirror: bool | None = None


# Copies of a channel with equal weights stay equal for ever: after an epoch they differed by 1e-7.
SHARES: Final = 0.5
# Wistuba, ECML-PKDD 2018, doi 10.1007/978-3-030-10928-8_15; numbers that only a re-implementation tells, from
# github.com/ThoroughImages/NeuroCell, but for its momentum of 0.5.
PAPER: Final = Settings(
    tournament=0.15,
    roots=1,
    head=Head.FLATTEN_FC,
    pools_stem=False,
    width=64,
    passes=1024.0,
    search_passes=0.0,
    shares=SHARES,
    noise=0.0,
    patience=0,
    root_epochs=63.0,
    epochs=15.0,
    root_cycles=6,
    cycles=4,
    root_learning_rate=0.05,
    learning_rate=0.05,
    momentum=0.9,
    weight_decay=1e-4,
    label_smoothing=0.0,
    batch_size=32,
    shift=0.125,
    cutout=0.5,
    mirror=True,
)
# For minutes in place of a day: few children, so that the best are bred sooner, and trainings just long enough to tell
# them apart. Inherited weights want a tenth of the rate that the engine chooses for fresh ones. A search takes a
# quarter of the time, and finds networks that want more of it: where even the template comes to few passes, that costs
# more than it brings.
FAST: Final = Settings(
    tournament=0.5,
    roots=2,
    head=Head.GLOBAL_POOL,
    pools_stem=True,
    width=64,
    passes=32.0,
    search_passes=64.0,
    shares=SHARES,
    noise=0.0,
    patience=32,
    learning_rate=0.03,
)
PRESETS: Final[Mapping[str, Settings]] = MappingProxyType({"fast": FAST, "paper": PAPER})


def _number(meaning: str, low: float, high: float, kind: str = "number") -> Mapping[str, object]:
    return {"type": kind, "minimum": low, "maximum": high, "description": meaning}


def _switch(meaning: str) -> Mapping[str, object]:
    return {"type": "boolean", "description": meaning}


_TABLE: Final[Mapping[str, Mapping[str, object]]] = {
    "preset": {
        "enum": list(PRESETS),
        "default": "fast",
        "description": "where all other settings start: for minutes, or as published, for a day of a GPU",
    },
    "tournament": _number("fraction of the population of which the best is a parent, of two at least", 0.0, 1.0),
    "roots": _number("templates that begin the population, each of half the width of the one before", 1, 8, "integer"),
    "head": {"enum": [head.value for head in Head], "description": "what reads the last map"},
    "pools_stem": _switch("the stem, too, halves the extents"),
    "width": _number("most filters of the stem; cells and head have twice as many", 2, 1024, "integer"),
    "cells": _number("cells in a row; by default until the last map is 2 to 8 wide", 1, 16, "integer"),
    "passes": _number("times that the whole wall budget could train the template on the data", 1.0, 1e6),
    "search_passes": _number(
        "times that the wall budget has to be enough for the widest template; else no search, it alone is trained",
        0.0,
        1e6,
    ),
    "shares": _number("part of a division of weights among copies that is drawn, to tell copies apart", 0.0, 1.0),
    "noise": _number("of new weights, relative to theirs; above 0 children differ from their parents", 0.0, 1.0),
    "patience": _number("results in a row without a better one that end the search; 0: never", 0, 1e6, "integer"),
    "root_epochs": _number("of a template; by default the engine's share of the search", 1e-3, 1e5),
    "epochs": _number("of a child; by default by the size of the data and the time left", 1e-3, 1e5),
    "root_cycles": _number("cosine cycles of a template, each twice as long as the one before", 1, 16, "integer"),
    "cycles": _number("of a child; without them the rate is the engine's", 1, 16, "integer"),
    "root_learning_rate": _number("peak of a template", 1e-8, 1e3),
    "learning_rate": _number("peak of a child", 1e-8, 1e3),
    "momentum": _number("of all trainings", 0.0, 0.9999),
    "weight_decay": _number("of all trainings", 0.0, 10.0),
    "label_smoothing": _number("of all trainings", 0.0, 0.9),
    "batch_size": _number("of all trainings", 1, 1 << 16, "integer"),
    "shift": _number("largest random shift, as a part of an image's extent", 0.0, 0.5),
    "cutout": _number("side of a square that is blanked, as a part of an image's extent", 0.0, 1.0),
    "mirror": _switch("random mirrors, where they are known to keep the class"),
}
SCHEMA: Final[Mapping[str, object]] = MappingProxyType(
    {"type": "object", "properties": _TABLE, "additionalProperties": False}
)


def settings_of(given: Mapping[str, object]) -> Settings:
    """The preset's, with what is `given` in their place; it keeps to `SCHEMA`."""
    values = {name: _typed(name, value) for name, value in given.items() if name != "preset"}
    return replace(PRESETS[str(given.get("preset", "fast"))], **values)  # type: ignore[arg-type]


def _typed(name: str, value: object) -> object:
    """A message's numbers are all floats."""
    if name == "head":
        return Head(value)
    is_whole = _TABLE[name].get("type") == "integer" and isinstance(value, float)
    return int(value) if is_whole else value  # type: ignore[call-overload]
