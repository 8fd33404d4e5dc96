"""Search spaces as data: named parameters with their values and conditions, and what is drawn of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from neunets.errors import InvalidRequest

__all__ = [
    "AnyOf",
    "Condition",
    "Configuration",
    "Parameter",
    "Parameters",
    "Value",
    "choice",
    "real",
    "value_of",
    "whole",
]

Value: TypeAlias = int | float | str | bool
# Values of the active parameters, by their names, in the order of the space.
Configuration: TypeAlias = Mapping[str, Value]
Kind = TypeVar("Kind", int, float, str, bool)

# Two hexadecimal digits spell a value's place, in parts of 256: so many values have different ones.
MOST_VALUES: Final = 256
INACTIVE: Final = ".."
# A neighbour of an ordered value is at most this part of all values away.
NEARBY: Final = 0.1


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds where `parameter` is active and has one of `values`."""

    parameter: str
    values: tuple[Value, ...]

    def parameters(self) -> tuple[str, ...]:
        return (self.parameter,)

    def holds(self, configuration: Configuration) -> bool:
        return self.parameter in configuration and configuration[self.parameter] in self.values


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds where one of `conditions` does."""

    conditions: tuple[Condition, ...]

    def parameters(self) -> tuple[str, ...]:
        return tuple(condition.parameter for condition in self.conditions)

    def holds(self, configuration: Configuration) -> bool:
        return any(condition.holds(configuration) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of finitely many values: also a real number, which lies on a grid. Active where all `conditions` hold."""

    name: str
    values: tuple[Value, ...]
    is_ordered: bool
    conditions: tuple[Condition | AnyOf, ...] = ()

    def __post_init__(self) -> None:
        """Raises: InvalidRequest."""
        if not 1 <= len(self.values) <= MOST_VALUES or len(set(self.values)) < len(self.values):
            text = f"{len(self.values)} values: give 1 to {MOST_VALUES} different ones"
            raise InvalidRequest(self.name, text)

    def is_active(self, configuration: Configuration) -> bool:
        return all(condition.holds(configuration) for condition in self.conditions)

    def draw(self, rng: np.random.Generator) -> Value:
        return self.values[rng.integers(len(self.values))]

    def other(self, value: Value, rng: np.random.Generator) -> Value:
        """Any of the others; the same where there is no other."""
        index, count = self.values.index(value), len(self.values)
        return self.values[(index + int(rng.integers(1, count))) % count] if count > 1 else value

    def near(self, value: Value, rng: np.random.Generator) -> Value:
        """Of an ordered parameter a value close by, never the same where there is another; else any other."""
        index, last = self.values.index(value), len(self.values) - 1
        if not self.is_ordered or last == 0:
            return self.other(value, rng)
        step = int(rng.integers(1, max(1, round(NEARBY * last)) + 1))
        upwards = index == 0 or (index < last and rng.random() < 0.5)
        return self.values[min(index + step, last) if upwards else max(index - step, 0)]

    def place(self, value: Value) -> float:
        """In 0..1: the middle of the value's share. Raises: ValueError for one that it cannot have."""
        return (self.values.index(value) + 0.5) / len(self.values)

    def at(self, place: float) -> Value:
        """The inverse of `place`, for any number."""
        return self.values[min(int(min(max(place, 0.0), 1.0) * len(self.values)), len(self.values) - 1)]

    def like(self, other: Parameter, value: Value) -> Value | None:
        """Of an ordered one, the value at the place of `value` in `other`; else the same. None: it has none such."""
        if self.is_ordered:
            return self.at(other.place(value))
        return value if value in self.values else None


def choice(name: str, *values: Value, when: tuple[Condition | AnyOf, ...] = ()) -> Parameter:
    """One of unordered values."""
    return Parameter(name, values, False, when)


def whole(
    name: str,
    low: int,
    high: int,
    is_logarithmic: bool = False,
    when: tuple[Condition | AnyOf, ...] = (),
) -> Parameter:
    """An integer from `low` to `high`; logarithmic, or with too many between them, those of a grid."""
    if is_logarithmic or high - low >= MOST_VALUES:
        spread = np.geomspace(low, high, MOST_VALUES) if is_logarithmic else np.linspace(low, high, MOST_VALUES)
        return Parameter(name, tuple(sorted({int(number) for number in spread.round()})), True, when)
    return Parameter(name, tuple(range(low, high + 1)), True, when)


def real(
    name: str,
    low: float,
    high: float,
    is_logarithmic: bool = False,
    when: tuple[Condition | AnyOf, ...] = (),
) -> Parameter:
    """A number from `low` to `high` on a grid of 256, even in its logarithm where that is wished."""
    spread = np.geomspace(low, high, MOST_VALUES) if is_logarithmic else np.linspace(low, high, MOST_VALUES)
    return Parameter(name, tuple(float(f"{number:.6g}") for number in spread), True, when)


def value_of(configuration: Configuration, name: str, kind: type[Kind]) -> Kind:
    """Raises: InvalidRequest where the configuration has no such value: it is of another space."""
    value = configuration.get(name)
    if not isinstance(value, kind):
        raise InvalidRequest(name, f"the configuration has no {kind.__name__} of that name, but {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class Parameters:
    """A space: the conditions of each entry are about entries before it.

    A configuration has exactly the active ones. It is a vector for models, and a short text for messages.
    """

    entries: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        """Raises: InvalidRequest."""
        known = dict[str, Parameter]()
        for entry in self.entries:
            if entry.name in known:
                raise InvalidRequest(entry.name, "there are two parameters of that name")
            for parameter in (name for condition in entry.conditions for name in condition.parameters()):
                if parameter not in known:
                    raise InvalidRequest(entry.name, f"depends on {parameter!r}, which is not before it")
            known[entry.name] = entry

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __add__(self, more: Parameters) -> Parameters:
        """Both spaces as one. Raises: InvalidRequest where they share a name."""
        return Parameters(self.entries + more.entries)

    def first(self) -> Configuration:
        """Each active parameter has its first value."""
        return self._chosen(lambda entry: entry.values[0])

    def sample(self, rng: np.random.Generator) -> Configuration:
        """Each active parameter uniform over its values."""
        return self.completed({}, rng)

    def completed(self, given: Mapping[str, Value], rng: np.random.Generator) -> Configuration:
        """What of `given` is active; active parameters without a value are drawn."""
        return self._chosen(lambda entry: given[entry.name] if entry.name in given else entry.draw(rng))

    def mutate(self, configuration: Configuration, rng: np.random.Generator) -> Configuration:
        """Another value for one active parameter; what becomes active by it is drawn."""
        entry = self._any(configuration, rng)
        changed = {**configuration, entry.name: entry.other(configuration[entry.name], rng)}
        return self.completed(changed, rng)

    def neighbour(self, configuration: Configuration, rng: np.random.Generator) -> Configuration:
        """As `mutate`, but an ordered value moves by a small step."""
        entry = self._any(configuration, rng)
        changed = {**configuration, entry.name: entry.near(configuration[entry.name], rng)}
        return self.completed(changed, rng)

    def encode(self, configuration: Configuration) -> NDArray[np.float64]:
        """A vector (D,) of places in 0..1; NaN where a parameter is not active."""
        return np.array(
            [
                entry.place(configuration[entry.name]) if entry.name in configuration else math.nan
                for entry in self.entries
            ]
        )

    def decode(self, vector: NDArray[np.float64]) -> Configuration:
        """Of places (D,): the inverse of `encode`, and of any other vector the configuration that is nearest.

        Places of inactive parameters are dropped; an active one's that is NaN counts as the middle.
        """
        places = {entry.name: float(place) for entry, place in zip(self.entries, vector, strict=True)}
        return self._chosen(lambda entry: entry.at(0.5 if math.isnan(places[entry.name]) else places[entry.name]))

    def spell(self, configuration: Configuration) -> str:
        """Two characters a parameter: the place of its value in parts of 256, which other grids have, too."""
        return "".join(
            f"{int(MOST_VALUES * entry.place(configuration[entry.name])):02x}"
            if entry.name in configuration
            else INACTIVE
            for entry in self.entries
        )

    def read(self, text: str) -> Configuration:
        """The inverse of `spell`. Raises: InvalidRequest for what it has not written."""
        spelt = [text[start : start + 2] for start in range(0, len(text), 2)]
        try:
            made = {
                entry.name: entry.at((int(part, 16) + 0.5) / MOST_VALUES)
                for entry, part in zip(self.entries, spelt, strict=True)
                if part != INACTIVE
            }
        except ValueError as error:
            raise InvalidRequest("configuration", f"{text!r} is not of this space") from error
        if any(entry.is_active(made) != (entry.name in made) for entry in self.entries):
            raise InvalidRequest("configuration", f"{text!r} has not exactly the active parameters")
        if self.spell(made) != text:  # of no value's place, or with a sign, a space or a capital letter
            raise InvalidRequest("configuration", f"{text!r} is not of this space")
        return made

    def _chosen(self, choose: Callable[[Parameter], Value]) -> Configuration:
        """A value for each parameter that is active by the values of those before it."""
        made = dict[str, Value]()
        for entry in self.entries:
            if entry.is_active(made):
                made[entry.name] = choose(entry)
        return made

    def _any(self, configuration: Configuration, rng: np.random.Generator) -> Parameter:
        active = [entry for entry in self.entries if entry.name in configuration and len(entry.values) > 1]
        return active[rng.integers(len(active))]
