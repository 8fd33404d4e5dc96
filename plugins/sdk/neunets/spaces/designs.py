"""Networks of one space or of several, and how they are trained, as one space of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np

from neunets.cost import cost
from neunets.draws import generator
from neunets.errors import InvalidRequest, UnsupportedProblem
from neunets.graph import Graph
from neunets.spaces.branched import BranchedCells
from neunets.spaces.motifs import Motifs
from neunets.spaces.parameters import AnyOf, Condition, Configuration, Parameter, Parameters, Value, choice
from neunets.spaces.plain import PlainChains
from neunets.spaces.skip import SkipChains
from neunets.spaces.space import Space
from neunets.spaces.training import recipe_of, training_parameters
from neunets.synthesizer.api import Problem, Recipe

__all__ = ["SPACES", "Designs"]

SPACES: Final[Mapping[str, type[PlainChains | SkipChains | BranchedCells | Motifs]]] = MappingProxyType(
    {"plain": PlainChains, "skip": SkipChains, "branched": BranchedCells, "motifs": Motifs}
)
# The parameter that chooses among several.
SPACE: Final = "space"
# Networks whose median is a typical one.
TYPICAL: Final = 16

When: TypeAlias = tuple[Condition | AnyOf, ...]


@dataclass(frozen=True, slots=True)
class Designs:
    """`parameters`: those of each space under its name, and those of the training, if any."""

    spaces: Mapping[str, Space]
    training: Parameters
    parameters: Parameters
    extent: int  # the smaller one of the input

    @staticmethod
    def of(problem: Problem, names: Sequence[str], schedules: Sequence[str], max_flops: int | None) -> Designs:
        """Of the named `SPACES` those that can keep the user's bounds, with trainings of these schedules.

        Without schedules the engine's trainings are left as they are. Raises: UnsupportedProblem where no space can.
        """
        spaces, refusals = dict[str, Space](), list[UnsupportedProblem]()
        for name in names:
            try:
                spaces[name] = SPACES[name](problem.input, problem.classes, problem.max_params, max_flops)
            except UnsupportedProblem as error:
                refusals.append(error)
        if not spaces:
            raise refusals[0]
        is_image, mirrors = len(problem.input.shape) == 3, problem.mirror_keeps_class is True
        training = training_parameters(is_image, mirrors, tuple(schedules)) if schedules else Parameters(())
        return Designs(spaces, training, _united(spaces) + training, min(problem.input.shape[:-1]))

    def graph(self, configuration: Configuration) -> Graph:
        name, network = self._network(configuration)
        return self.spaces[name].graph(network)

    def recipe(self, configuration: Configuration) -> Recipe:
        """As far as it is searched."""
        return recipe_of(configuration, self.extent) if len(self.training) else Recipe()

    def told(self, configuration: Configuration) -> str:
        """One sentence for people."""
        name, network = self._network(configuration)
        return self.spaces[name].describe(network)

    def labels(self, configuration: Configuration) -> Mapping[str, str]:
        """From which `read` makes it again."""
        name, network = self._network(configuration)
        spelt = {"space": name, "network": self.spaces[name].parameters.spell(network)}
        return spelt | ({"training": self.training.spell(configuration)} if len(self.training) else {})

    def read(self, labels: Mapping[str, str]) -> Configuration:
        """The inverse of `labels`. Raises: InvalidRequest for what they have not written."""
        name = labels.get("space", "")
        if name not in self.spaces:
            raise InvalidRequest("configuration", f"the space {name!r} is none of {', '.join(self.spaces)}")
        network = self.spaces[name].parameters.read(labels.get("network", ""))
        chosen = {SPACE: name} if len(self.spaces) > 1 else {}
        named = {f"{name}/{key}": value for key, value in network.items()}
        return {**chosen, **named, **self.training.read(labels.get("training", ""))}

    def transferred(self, labels: Mapping[str, str], source: Designs, rng: np.random.Generator) -> Configuration | None:
        """What the design that `source` has labelled for other data is on these.

        Ordered values go over by their places, others as they are; what these data have besides is drawn. None: the
        labels are none of `source`, or of a space that is not here.
        """
        try:
            read = source.read(labels)
        except InvalidRequest:
            return None
        if labels["space"] not in self.spaces:
            return None
        given: dict[str, Value] = {SPACE: labels["space"]}
        theirs = {entry.name: entry for entry in source.parameters if entry.name in read}
        for entry in self.parameters:
            if entry.name in theirs and (value := entry.like(theirs[entry.name], read[entry.name])) is not None:
                given[entry.name] = value
        return self.parameters.completed(given, rng)

    def typical_flops(self) -> float:
        """Of one example, forward: half of what is drawn has less."""
        drawn = (self.parameters.sample(generator(0, draw)) for draw in range(TYPICAL))
        return float(median(cost(self.graph(each)).flops for each in drawn))

    def _network(self, configuration: Configuration) -> tuple[str, Configuration]:
        """The space, and its own configuration."""
        name = str(configuration.get(SPACE, next(iter(self.spaces))))
        prefix = f"{name}/"
        named = {key.removeprefix(prefix): value for key, value in configuration.items() if key.startswith(prefix)}
        return name, named


def _united(spaces: Mapping[str, Space]) -> Parameters:
    """Of several, one parameter chooses which; the others are those of that one."""
    entries: list[Parameter] = [choice(SPACE, *spaces)] if len(spaces) > 1 else []
    for name, space in spaces.items():
        chosen = (Condition(SPACE, (name,)),) if len(spaces) > 1 else ()
        entries += [
            replace(entry, name=f"{name}/{entry.name}", conditions=(*_renamed(entry.conditions, name), *chosen))
            for entry in space.parameters
        ]
    return Parameters(tuple(entries))


def _renamed(conditions: When, name: str) -> When:
    return tuple(
        AnyOf(tuple(_under(name, term) for term in each.conditions)) if isinstance(each, AnyOf) else _under(name, each)
        for each in conditions
    )


def _under(name: str, condition: Condition) -> Condition:
    return replace(condition, parameter=f"{name}/{condition.parameter}")
