"""Chains of layers in components, with skips inside a component."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from neunets.graph import Graph
from neunets.spaces.components import chain_entries, chain_network, chain_sentence
from neunets.spaces.narrow import BoundedSpace
from neunets.spaces.parameters import Configuration, Parameter

__all__ = ["SkipChains"]


@final
@dataclass(frozen=True, slots=True)
class SkipChains(BoundedSpace):
    """`PlainChains` in which each layer has one bit for each earlier layer of its component: whether it is merged.

    The merge: where all merged layers have the width of the layer, their values are added to its own before the
    activation, as in a residual network; else they are concatenated with it, and a 1x1 convolution with norm and
    activation brings them back to its width. A pool that ends the component stands behind the merge.

    Skip bits as in the macro space of ENAS (Pham et al., arXiv:1802.03268), which merges over the whole network.
    """

    components: int = 3
    layers: int = 4

    def _entries(self) -> tuple[Parameter, ...]:
        return chain_entries(self.input, self.components, self.layers, has_skips=True)

    def _network(self, configuration: Configuration, factor: float) -> Graph:
        return chain_network(self.input, self.classes, configuration, factor)

    def _sentence(self, configuration: Configuration, filters: str) -> str:
        return chain_sentence(configuration, filters)
