"""What a morphism is: a value that names a change of a network, and derives the new graph and its weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neunets.cost import parameters as parameters_of
from neunets.errors import InvalidGraph
from neunets.graph import Graph
from neunets.ops import Attribute

__all__ = ["NOISE", "SEED", "Array", "Morphism", "Weights", "check_weights", "disturbed", "dtype_of", "in_order"]

Array: TypeAlias = NDArray[Any]
Weights: TypeAlias = Mapping[str, Array]

SEED: Final = Attribute(int, 0, low=0, high=2**63 - 1)
NOISE: Final = Attribute(float, 0.0, low=0.0, high=1.0)


@dataclass(frozen=True, slots=True)
class Morphism(ABC):
    """A change of a network that keeps the function, with its arguments as plain numbers and words.

    `kind` and `arguments` (name → values allowed) are all that a message needs beside the values. Nothing is drawn but
    from the argument `seed`, so that a morphism and a graph determine the result.

    Raises: InvalidGraph (BAD_ARGUMENT).
    """

    kind: ClassVar[str]
    arguments: ClassVar[Mapping[str, Attribute]]

    node: str  # where it happens

    def __post_init__(self) -> None:
        for name, rule in self.arguments.items():
            fault = rule.fault(getattr(self, name))
            if fault:
                raise InvalidGraph(self.node, "BAD_ARGUMENT", f"{self.kind}: {name} = {fault}")

    @abstractmethod
    def apply(self, graph: Graph) -> Graph:
        """The new graph of a valid `graph`; needs no weights. Raises: InvalidGraph with a code of `RULES`."""

    @abstractmethod
    def weights(self, graph: Graph, parameters: Weights, batch: Array | None = None) -> dict[str, Array]:
        """Those of `apply(graph)`, by their keys NODE.PARAM, in the order of its nodes.

        `parameters`: of `graph`; each array keeps its type, float32 or float64. Arrays that do not change are shared
        with the result. `batch`: some dozens of examples (N, H, W, C) or (N, L, C) as stored, from which a new batch
        norm takes its statistics; other morphisms do not look at it.

        Raises: InvalidGraph as `apply` does, and BAD_WEIGHTS, BAD_BATCH.
        """


def check_weights(graph: Graph, parameters: Weights) -> None:
    """Raises: InvalidGraph (BAD_WEIGHTS) unless keys and shapes are exactly the graph's."""
    wanted = {key: parameter.shape for key, parameter in parameters_of(graph).items()}
    given = {key: value.shape for key, value in parameters.items()}
    odd = sorted(key for key in wanted.keys() | given.keys() if wanted.get(key) != given.get(key))
    if odd:
        text = f"weights of another network, for example at {odd[0]}: {given.get(odd[0])}, not {wanted.get(odd[0])}"
        raise InvalidGraph("", "BAD_WEIGHTS", text)


def in_order(graph: Graph, parameters: Weights) -> dict[str, Array]:
    """In the order of the graph's nodes, contiguous, without what no node has."""
    return {key: np.ascontiguousarray(parameters[key]) for key in parameters_of(graph)}


def dtype_of(parameters: Weights) -> np.dtype[Any]:
    """Of parameters that have no predecessor."""
    return np.result_type(*parameters.values()) if parameters else np.dtype(np.float32)


def disturbed(values: Array, noise: float, rng: np.random.Generator) -> Array:
    """`values` plus normal noise, whose deviation is `noise` times theirs."""
    if noise == 0.0:
        return values
    changed: Array = (values + noise * values.std() * rng.standard_normal(values.shape)).astype(values.dtype)
    return changed
