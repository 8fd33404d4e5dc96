"""What the spaces of networks share: each configuration is narrowed until it keeps the user's bounds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

from neunets.cost import Cost, cost
from neunets.errors import InvalidRequest, UnsupportedProblem
from neunets.graph import Graph, Input
from neunets.spaces.parameters import Configuration, Parameter, Parameters

__all__ = ["NARROWEST", "BoundedSpace", "channels", "check_size", "counted"]

NARROWEST: Final = 2
# What all widths are multiplied by, the widest first; by the last one every layer is as narrow as can be.
FACTORS: Final = (*(0.9**step for step in range(64)), 0.0)
# Two characters each, in a label of 256.
MOST_PARAMETERS: Final = 128


@dataclass(frozen=True, slots=True)
class BoundedSpace(ABC):
    """All networks keep to `max_params` parameters; to `max_flops` operations where the structure allows it.

    A configuration decides the structure, which no narrowing changes. The first values of all parameters make the
    smallest network of the space: it stands in for what exceeds `max_params` as narrow as can be.
    """

    input: Input
    classes: int
    max_params: int | None = None
    max_flops: int | None = None
    parameters: Parameters = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises: UnsupportedProblem, which names the smallest bound that could be kept; InvalidRequest for sizes."""
        entries = self._entries()
        if len(entries) > MOST_PARAMETERS:
            raise InvalidRequest("", f"{len(entries)} parameters, at most {MOST_PARAMETERS}: choose smaller sizes")
        object.__setattr__(self, "parameters", Parameters(entries))
        smallest = cost(self._network(self.parameters.first(), 0.0)).params
        if self.max_params is not None and smallest > self.max_params:
            raise UnsupportedProblem(
                f"the smallest network for this input and {self.classes} classes has {smallest:,} parameters, "
                f"more than {self.max_params:,}: raise max_params to at least {smallest:,}"
            )

    def graph(self, configuration: Configuration) -> Graph:
        """A valid network within the bounds, as wide as they allow."""
        return self._network(*self._fitted(configuration))

    def describe(self, configuration: Configuration) -> str:
        """One sentence about the network that `graph` makes."""
        kept, factor = self._fitted(configuration)
        widths = [
            width
            for node in self._network(kept, factor).nodes
            if isinstance(width := node.attributes.get("channels"), int)
        ]
        low, high = min(widths), max(widths)
        return self._sentence(kept, f"{low} to {high} filters" if low < high else f"{low} filters")

    @abstractmethod
    def _entries(self) -> tuple[Parameter, ...]:
        """What may be chosen. Raises: InvalidRequest for a size of the space that it does not allow."""

    @abstractmethod
    def _network(self, configuration: Configuration, factor: float) -> Graph:
        """With all widths multiplied by `factor`; 0: each layer is as narrow as can be."""

    @abstractmethod
    def _sentence(self, configuration: Configuration, filters: str) -> str:
        """`filters`: how many layers have."""

    def _fitted(self, configuration: Configuration) -> tuple[Configuration, float]:
        """What is built instead, and its widths' factor."""
        if self._is_kept(configuration, 1.0):
            return configuration, 1.0
        # Parameters and operations grow with every width, so that the factors that fit are the last ones.
        at = bisect_left(FACTORS, True, key=lambda factor: self._is_kept(configuration, factor))
        factor = FACTORS[min(at, len(FACTORS) - 1)]
        if self.max_params is not None and self._price(configuration, factor).params > self.max_params:
            return self.parameters.first(), 0.0
        return configuration, factor

    def _is_kept(self, configuration: Configuration, factor: float) -> bool:
        if self.max_params is None and self.max_flops is None:
            return True
        price = self._price(configuration, factor)
        keeps_params = self.max_params is None or price.params <= self.max_params
        return keeps_params and (self.max_flops is None or price.flops <= self.max_flops)

    def _price(self, configuration: Configuration, factor: float) -> Cost:
        return cost(self._network(configuration, factor))


def channels(wanted: float) -> int:
    """A multiple of 8 where it is large enough for one: vector units like it."""
    return max(NARROWEST, round(wanted)) if wanted < 12 else 8 * round(wanted / 8)


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def check_size(name: str, size: int, most: int) -> None:
    """Of a space. Raises: InvalidRequest."""
    if not 1 <= size <= most:
        raise InvalidRequest(name, f"{size}: give 1 to {most}")
