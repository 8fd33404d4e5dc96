"""Chains of layers in components, without branches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from neunets.graph import Graph
from neunets.spaces.components import chain_entries, chain_network, chain_sentence
from neunets.spaces.narrow import BoundedSpace
from neunets.spaces.parameters import Configuration, Parameter

__all__ = ["PlainChains"]


@final
@dataclass(frozen=True, slots=True)
class PlainChains(BoundedSpace):
    """Up to `components` in sequence, each of up to `layers`; each ends with a pool while the map is large enough.

    A layer has a kernel, a kind (convolution or separable one) and a width, relative to that of its component, which
    grows from component to component. With `pools_early` the pool stands behind the component's first convolution
    instead of its last one, so that the other layers work on a quarter of the values; norm and activation stand behind
    the pool. The head takes the mean of each channel, or has weights for each of 16 positions.

    As MetaQNN's chains (Baker et al., arXiv:1611.02167), with norms, and without its hidden linear layers.
    """

    components: int = 4
    layers: int = 4

    def _entries(self) -> tuple[Parameter, ...]:
        return chain_entries(self.input, self.components, self.layers, has_skips=False)

    def _network(self, configuration: Configuration, factor: float) -> Graph:
        return chain_network(self.input, self.classes, configuration, factor)

    def _sentence(self, configuration: Configuration, filters: str) -> str:
        return chain_sentence(configuration, filters)
