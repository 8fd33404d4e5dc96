"""Graphs as values. Inside a network values are channels first, without the batch: (C, H, W), (C, L), (F,)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeAlias

__all__ = ["AttributeValue", "DataType", "Graph", "Input", "Node", "Shape"]

AttributeValue: TypeAlias = int | float | bool | str | tuple[int, ...]
Shape: TypeAlias = tuple[int, ...]

_NONE: Final[Mapping[str, AttributeValue]] = MappingProxyType({})


class DataType(Enum):
    """Of an input as it is stored."""

    UINT8 = "uint8"
    FLOAT32 = "float32"


@dataclass(frozen=True, slots=True)
class Input:
    """The one input of a network; normalised per channel, (x - mean) / std, inside it."""

    name: str
    shape: Shape  # as stored, channels last, without the batch: (H, W, C) or (L, C)
    dtype: DataType
    mean: tuple[float, ...]  # (C,), in the units of the input
    std: tuple[float, ...]  # (C,), above 0

    def value_shape(self) -> Shape:
        """Of the normalised values: channels first."""
        return (self.shape[-1], *self.shape[:-1])


@dataclass(frozen=True, slots=True)
class Node:
    """One operator. `inputs` name nodes that stand earlier, or the graph's input."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, AttributeValue] = field(default_factory=lambda: _NONE)

    def __hash__(self) -> int:
        return hash((self.name, self.op, self.inputs, frozenset(self.attributes.items())))


@dataclass(frozen=True, slots=True)
class Graph:
    """`output` names the node whose values are the logits, shape (classes,)."""

    input: Input
    nodes: tuple[Node, ...]
    output: str
