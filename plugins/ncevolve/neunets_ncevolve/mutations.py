"""The six mutations, each drawn once and made in all cells alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, TypeAlias

import numpy as np

from neunets.errors import InvalidGraph
from neunets.graph import Graph
from neunets.morphisms import (
    Branch,
    BranchAndInsert,
    Deepen,
    InsertSkip,
    Morphism,
    Widen,
    WidenKernel,
    derive,
    width_step,
)
from neunets.morphisms.edit import node_of
from neunets.morphisms.signs import nonnegative
from neunets.ops import attributes_of
from neunets_ncevolve.template import filters

__all__ = ["Asymmetry", "Mutant", "Mutation", "mutate"]

CELL: Final = re.compile(r"cell\d+/(.+)")
# By how much filters and units grow.
LEAST_GROWTH, MOST_GROWTH = 1.2, 2.0
WIDER_KERNEL: Final = 2
SEEDS: Final = 1 << 62

# The nodes at one position: one in each cell, or a single one outside of them.
Site: TypeAlias = tuple[str, ...]


class Mutation(Enum):
    """Wistuba, ECML-PKDD 2018, doi 10.1007/978-3-030-10928-8_15, as NeuNetS section 4.1.1 tells them."""

    INSERT_CONV = "insert_conv"
    BRANCH = "branch"
    INSERT_SKIP = "insert_skip"
    ALTER_FILTERS = "alter_filters"
    ALTER_UNITS = "alter_units"
    ALTER_KERNEL = "alter_kernel"


@dataclass(frozen=True, slots=True)
class Mutant:
    """`graph`: what `lineage` makes of the parent's."""

    mutation: Mutation
    lineage: tuple[Morphism, ...]
    graph: Graph

    def told(self) -> str:
        """What was done, for people."""
        cell = CELL.fullmatch(self.lineage[0].node)
        place = self.lineage[0].node if cell is None else f"{cell[1]} of each cell"
        return f"{self.mutation.value} at {place}"


@dataclass(frozen=True, slots=True)
class Asymmetry:
    """What tells copies apart: see `Widen.shares`, and the `noise` of all morphisms."""

    shares: float = 0.0
    noise: float = 0.0


@dataclass(frozen=True, slots=True)
class _Draw:
    """What the choices of a mutation depend on: the parent, the first node of the site."""

    graph: Graph
    node: str
    rng: np.random.Generator
    asymmetry: Asymmetry

    def seed(self) -> int:
        return int(self.rng.integers(SEEDS))

    def layer(self) -> str:
        return "separable_conv" if self.rng.random() < 0.5 else "conv"

    def number(self, attribute: str) -> int:
        return int(str(attributes_of(node_of(self.graph, self.node))[attribute]))

    def width(self, attribute: str) -> int:
        """A larger one that the layer can have."""
        old, step = self.number(attribute), width_step(self.graph, self.node)
        wanted = filters(old * self.rng.uniform(LEAST_GROWTH, MOST_GROWTH))
        return old + step * max(1, round((wanted - old) / step))


def _insert_conv(draw: _Draw) -> Morphism:
    return Deepen(draw.node, draw.layer(), norm=True, seed=draw.seed(), noise=draw.asymmetry.noise)


def _branch(draw: _Draw) -> Morphism:
    """A convolution that is pooled or added before its rectifier has branches without one."""
    branch = Branch(draw.node)
    is_rectified = nonnegative(branch.apply(draw.graph)).issuperset(branch.ends(draw.graph))
    return BranchAndInsert(
        draw.node,
        side="left" if draw.rng.random() < 0.5 else "right",
        layer=draw.layer(),
        norm=True,
        function="relu" if is_rectified else "none",
        seed=draw.seed(),
        noise=draw.asymmetry.noise,
    )


def _insert_skip(draw: _Draw) -> Morphism:
    return InsertSkip(draw.node, seed=draw.seed())


def _alter_filters(draw: _Draw) -> Morphism:
    return _widened(draw, "channels")


def _alter_units(draw: _Draw) -> Morphism:
    return _widened(draw, "units")


def _widened(draw: _Draw, attribute: str) -> Morphism:
    width, seed, asymmetry = draw.width(attribute), draw.seed(), draw.asymmetry
    return Widen(draw.node, width, seed, asymmetry.noise, asymmetry.shares)


def _alter_kernel(draw: _Draw) -> Morphism:
    return WidenKernel(draw.node, draw.number("kernel") + WIDER_KERNEL)


@dataclass(frozen=True, slots=True)
class _Rule:
    """`operators`: of the nodes where it happens; `stays_inside`: in cells alone, where the network has any."""

    operators: frozenset[str]
    stays_inside: bool
    make: Callable[[_Draw], Morphism]


CONVOLUTIONS: Final = frozenset({"conv", "separable_conv"})
# Whose values are those of whole layers.
ENDS: Final = frozenset({"activation", "concat"})
RULES: Final[Mapping[Mutation, _Rule]] = {
    Mutation.INSERT_CONV: _Rule(ENDS, True, _insert_conv),
    Mutation.BRANCH: _Rule(CONVOLUTIONS, True, _branch),
    Mutation.INSERT_SKIP: _Rule(ENDS, True, _insert_skip),
    Mutation.ALTER_FILTERS: _Rule(CONVOLUTIONS, False, _alter_filters),
    Mutation.ALTER_UNITS: _Rule(frozenset({"linear"}), False, _alter_units),
    Mutation.ALTER_KERNEL: _Rule(CONVOLUTIONS, True, _alter_kernel),
}


def mutate(graph: Graph, rng: np.random.Generator, asymmetry: Asymmetry) -> Mutant | None:
    """A random mutation at a random site, with the same arguments in all cells; None: it does not apply there.

    The seed, too, is the same, so that the parts of a concatenation grow by as many channels in each cell.
    """
    sites = {mutation: _sites(graph, rule) for mutation, rule in RULES.items()}
    possible = [mutation for mutation, found in sites.items() if found]
    if not possible:
        return None
    mutation = possible[rng.integers(len(possible))]
    site = sites[mutation][rng.integers(len(sites[mutation]))]
    try:
        first = RULES[mutation].make(_Draw(graph, site[0], rng, asymmetry))
        lineage = tuple(replace(first, node=name) for name in site)
        return Mutant(mutation, lineage, derive(graph, lineage))
    except InvalidGraph:
        return None


def _sites(graph: Graph, rule: _Rule) -> list[Site]:
    """In the order of the graph."""
    inside, outside = dict[str, Site](), list[Site]()
    for node in graph.nodes:
        cell = CELL.fullmatch(node.name)
        if node.op not in rule.operators or node.name == graph.output:
            continue
        if cell is None:
            outside.append((node.name,))
        else:
            inside[cell[1]] = (*inside.get(cell[1], ()), node.name)
    has_cells = any(CELL.fullmatch(node.name) for node in graph.nodes)
    return [*inside.values(), *(() if rule.stays_inside and has_cells else outside)]
