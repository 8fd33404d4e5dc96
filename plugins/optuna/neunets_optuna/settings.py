"""What users may set, as one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from neunets.spaces import SPACES

__all__ = ["SAMPLERS", "SCHEMA", "Settings", "settings_of"]

ALL: Final = "all"
# By their names, each made from (seed, results before it leaves chance alone).
SAMPLERS: Final[Mapping[str, Callable[[int, int], BaseSampler]]] = MappingProxyType(
    {
        "tpe": lambda seed, startup: TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True),
        "gp": lambda seed, startup: GPSampler(seed=seed, n_startup_trials=startup),
        "cmaes": lambda seed, startup: CmaEsSampler(
            seed=seed, n_startup_trials=startup, warn_independent_sampling=False
        ),
        "nsgaii": lambda seed, startup: NSGAIISampler(seed=seed, population_size=max(2, startup)),
        "random": lambda seed, startup: RandomSampler(seed=seed),
    }
)


@dataclass(frozen=True, slots=True)
class Settings:
    """See `SCHEMA` for what each means."""

    sampler: str
    space: str
    joint: bool
    startup: int
    passes: float

    @property
    def spaces(self) -> tuple[str, ...]:
        return tuple(SPACES) if self.space == ALL else (self.space,)


_TABLE: Final[Mapping[str, Mapping[str, object]]] = {
    "sampler": {"enum": list(SAMPLERS), "default": "tpe", "description": "of optuna.samplers; gp wants torch"},
    "space": {
        "enum": [*SPACES, ALL],
        "default": "plain",
        "description": "chains, chains with skips, cells of branches, motifs of motifs, or all of them",
    },
    "joint": {"type": "boolean", "default": False, "description": "how a network is trained is searched, too"},
    "startup": {
        "type": "integer",
        "minimum": 1,
        "maximum": 1000,
        "default": 10,
        "description": "networks before the sampler trusts its results; of nsgaii, the population",
    },
    "passes": {
        "type": "number",
        "minimum": 1.0,
        "maximum": 1e6,
        "default": 16.0,
        "description": "times that the whole wall budget could train each network on the data",
    },
}
SCHEMA: Final[Mapping[str, object]] = MappingProxyType(
    {"type": "object", "properties": _TABLE, "additionalProperties": False}
)


def settings_of(given: Mapping[str, object]) -> Settings:
    """The table's, with what is `given` in their place; it keeps to `SCHEMA`."""
    values = {name: given.get(name, entry["default"]) for name, entry in _TABLE.items()}
    startup = values["startup"]
    assert isinstance(startup, int | float)  # a message's numbers are all floats
    return Settings(**{**values, "startup": int(startup)})  # type: ignore[arg-type]
