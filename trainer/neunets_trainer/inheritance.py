"""The weights with which a network begins that came from a trained one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neunets.errors import InvalidGraph
from neunets.graph import Graph
from neunets.morphisms import Morphism, inherit
from neunets_trainer.build import build
from neunets_trainer.data import Data
from neunets_trainer.evaluate import logits_of

__all__ = ["Inheritance", "Inherited"]

# Examples from which a new batch norm takes its statistics, and on which parent and child are compared.
ROWS: Final = 64


@dataclass(frozen=True, slots=True)
class Inheritance:
    """Of a child's `lineage`: the parent's graph and what its training has left."""

    graph: Graph
    weights: Mapping[str, NDArray[np.float32]]
    lineage: tuple[Morphism, ...]

    def inherited(self, child: Graph, data: Data, device: str) -> Inherited:
        """Raises: InvalidGraph, also where the lineage leads to another network than `child`."""
        batch, _ = data.train.take(torch.arange(min(ROWS, len(data.train))))
        graph, weights = inherit(self.graph, self.weights, self.lineage, batch.cpu().numpy())
        if graph != child:
            raise InvalidGraph("", "LINEAGE_DIFFERS", "the lineage leads to another network than the one to be trained")
        before, after = _logits(self.graph, self.weights, batch, device), _logits(graph, weights, batch, device)
        delta = (before - after).abs().max() / before.abs().max().clamp(min=1.0)
        return Inherited(weights, float(delta))


@dataclass(frozen=True, slots=True)
class Inherited:
    """`delta`: the largest difference between logits of the parent and of the child, in evaluation and float32; over
    the parent's largest logit, where that is above 1.
    """

    weights: Mapping[str, NDArray[np.float32]]
    delta: float


@torch.no_grad()
def _logits(graph: Graph, weights: Mapping[str, NDArray[np.float32]], batch: Tensor, device: str) -> Tensor:
    return logits_of(build(graph, weights, device).eval(), batch)
