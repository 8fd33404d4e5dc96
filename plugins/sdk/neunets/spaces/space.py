"""What all spaces of networks have in common."""

from __future__ import annotations

from typing import Protocol

from neunets.graph import Graph
from neunets.spaces.parameters import Configuration, Parameters

__all__ = ["Space"]


class Space(Protocol):
    """Networks for one input and number of classes, within the user's bounds."""

    @property
    def parameters(self) -> Parameters:
        """What may be chosen."""

    def graph(self, configuration: Configuration) -> Graph:
        """Every configuration is a valid network within the bounds: a wide one is narrowed until it keeps them."""

    def describe(self, configuration: Configuration) -> str:
        """One sentence for people."""
