"""What users may set, as one table, and the presets that it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Final

from neunets.errors import InvalidRequest
from neunets_hyperband.levels import Convention

__all__ = ["MOST_WARM", "PRESETS", "SCHEMA", "Mode", "Modelling", "Representation", "Settings", "settings_of"]

MOST_WARM: Final = 32


class Mode(Enum):
    """Who trains on, and when."""

    ASHA = "asha"
    HYPERBAND = "hyperband"
    HALVING = "halving"


class Modelling(Enum):
    """Where new configurations come from."""

    TPE = "tpe"
    KDE = "kde"
    NONE = "none"


class Representation(Enum):
    """The spaces of networks."""

    PLAIN = "plain"
    SKIP = "skip"
    BRANCHED = "branched"
    MOTIFS = "motifs"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Settings:
    """See `SCHEMA` for what each means. None: as suits the data and the budget."""

    mode: Mode | None
    model: Modelling
    convention: Convention
    space: Representation
    joint: bool
    eta: int
    random_fraction: float
    passes: float
    averaging: float
    stop_below: float
    warm: int
    min_epochs: float | None = None
    max_epochs: float | None = None


# Stops before a rung's end have not paid on recorded trainings, where rungs have left the bad ones behind already.
FAST: Final = Settings(
    mode=None,
    model=Modelling.TPE,
    convention=Convention.JMLR,
    space=Representation.PLAIN,
    joint=False,
    eta=3,
    random_fraction=1 / 3,
    passes=16.0,
    averaging=0.25,
    stop_below=0.0,
    warm=5,
)
# As published: none of them knows of other data, and their configurations have the rates in them.
_PUBLISHED: Final = replace(FAST, joint=True, warm=0)
PRESETS: Final[Mapping[str, Settings]] = MappingProxyType(
    {
        "fast": FAST,
        # Li et al., arXiv:1603.06560.
        "hyperband": replace(_PUBLISHED, mode=Mode.HYPERBAND, model=Modelling.NONE),
        # Li et al., arXiv:1810.05934.
        "asha": replace(_PUBLISHED, mode=Mode.ASHA, model=Modelling.NONE),
        # Falkner et al., arXiv:1807.01774; numbers of github.com/automl/HpBandSter.
        "bohb": replace(_PUBLISHED, mode=Mode.HYPERBAND, model=Modelling.KDE, convention=Convention.HPBANDSTER),
    }
)
_ENUMS: Final[Mapping[str, type[Enum]]] = MappingProxyType(
    {"mode": Mode, "model": Modelling, "convention": Convention, "space": Representation}
)


def _number(meaning: str, low: float, high: float, kind: str = "number") -> Mapping[str, object]:
    return {"type": kind, "minimum": low, "maximum": high, "description": meaning}


def _choice(meaning: str, options: type[Enum]) -> Mapping[str, object]:
    return {"enum": [option.value for option in options], "description": meaning}


_TABLE: Final[Mapping[str, Mapping[str, object]]] = {
    "preset": {
        "enum": list(PRESETS),
        "default": "fast",
        "description": "where all other settings start: for minutes, or as one of three methods was published",
    },
    "mode": _choice(
        "who trains on: of each rung the best as results come in, or once the whole rung has ended, in the brackets of "
        "Hyperband or in its first one alone; by default asha on several slots, else hyperband",
        Mode,
    ),
    "model": _choice(
        "where new configurations come from: one density a parameter, one over all of them, which wants twice as many "
        "results as there are parameters, or chance alone",
        Modelling,
    ),
    "convention": _choice("how many networks the brackets of hyperband begin with", Convention),
    "space": _choice("chains, chains with skips, cells of branches, motifs of motifs, or all of them", Representation),
    "joint": {"type": "boolean", "description": "how a network is trained is searched, too"},
    "eta": _number("of each rung, one in so many trains on, so many times as long", 2, 16, "integer"),
    "random_fraction": _number("of new configurations that are drawn without a model", 0.0, 1.0),
    "passes": _number("times that the whole wall budget could train each network on the data", 1.0, 1e6),
    "averaging": _number("last fraction of the steps whose weights are averaged, where it is not searched", 0.01, 0.9),
    "stop_below": _number("chance to be among the best of its rung below which a training ends; 0: never", 0.0, 0.5),
    "warm": _number("networks to begin with that have done well on other data, at most", 0, MOST_WARM, "integer"),
    "min_epochs": _number("of the lowest rung; by default by the size of the data and the time", 1e-3, 1e5),
    "max_epochs": _number("of the highest rung; by default as the time allows", 1e-3, 1e5),
}
SCHEMA: Final[Mapping[str, object]] = MappingProxyType(
    {"type": "object", "properties": _TABLE, "additionalProperties": False}
)


def settings_of(given: Mapping[str, object]) -> Settings:
    """The preset's, with what is `given` in their place; it keeps to `SCHEMA`. Raises: InvalidRequest."""
    values = {name: _typed(name, value) for name, value in given.items() if name != "preset"}
    settings: Settings = replace(PRESETS[str(given.get("preset", "fast"))], **values)  # type: ignore[arg-type]
    least, most = settings.min_epochs, settings.max_epochs
    if least is not None and most is not None and most < least:
        raise InvalidRequest("settings.max_epochs", f"{most:g} is less than min_epochs, which is {least:g}")
    return settings


def _typed(name: str, value: object) -> object:
    """A message's numbers are all floats."""
    if name in _ENUMS:
        return _ENUMS[name](value)
    is_whole = _TABLE[name].get("type") == "integer" and isinstance(value, float)
    return int(value) if is_whole else value  # type: ignore[call-overload]
