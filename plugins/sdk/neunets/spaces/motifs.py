"""Cells of motifs, and motifs of primitive operators: a hierarchy of three levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Final, final

from neunets.graph import Graph
from neunets.spaces.build import DEPTHWISE, Draft, Head, Layer
from neunets.spaces.narrow import BoundedSpace, check_size, counted
from neunets.spaces.parameters import AnyOf, Condition, Configuration, Parameter, choice, value_of
from neunets.spaces.stages import Stages, stage_entries

__all__ = ["Motifs"]

NONE, IDENTITY = "none", "identity"
POOLS: Final = {"max_pool3": "max_pool", "avg_pool3": "avg_pool"}
# Operator and kernel.
CONVOLUTIONS: Final = {
    "conv1": ("conv", 1),
    "depthwise_conv3": (DEPTHWISE, 3),
    "separable_conv3": ("separable_conv", 3),
}
# With all of them used, a network stays below the number of nodes that a graph may have.
MOST_MOTIFS, MOST_MOTIF_NODES, MOST_CELL_NODES, MOST_CELLS = 8, 5, 6, 2


@final
@dataclass(frozen=True, slots=True)
class Motifs(BoundedSpace):
    """Hierarchical representations of Liu et al., arXiv:1711.00436.

    A motif is a graph whose first node is its input and whose last node is its output; each edge from an earlier node
    to a later one has an operator, or none. `motifs` of `motif_nodes` each have primitive operators on their edges:
    1x1, depthwise 3x3 and separable 3x3 convolution, with norm and rectifier, maximum and mean over 3x3, identity. The
    cell, of `cell_nodes`, has these motifs, or identities. The network has up to `cells` equal cells in each of three
    stages; a separable convolution of stride 2 stands between the stages, which double the filters.

    What reaches a node is added, as NASLib does; at the output of a motif it is concatenated, and a 1x1 convolution
    with norm and rectifier brings it back to the width, unless there is only one. Nodes that nothing reaches, or that
    do not reach the output, are dropped; where nothing reaches the output, an identity from the input does.
    """

    cells: int = 1
    motifs: int = 6
    motif_nodes: int = 4
    cell_nodes: int = 5

    def _entries(self) -> tuple[Parameter, ...]:
        check_size("motifs", self.motifs, MOST_MOTIFS)
        check_size("motif_nodes", self.motif_nodes, MOST_MOTIF_NODES)
        check_size("cell_nodes", self.cell_nodes, MOST_CELL_NODES)
        check_size("cells", self.cells, MOST_CELLS)
        names = [f"motif{number}" for number in range(1, self.motifs + 1)]
        cell = [choice(f"cell/{edge}", NONE, IDENTITY, *names) for edge in _edges(self.cell_nodes)]
        entries = [*stage_entries(self.input, self.cells), *cell]
        for name in names:
            is_used = AnyOf(tuple(Condition(edge.name, (name,)) for edge in cell))
            for edge in _edges(self.motif_nodes):
                operators = (NONE, IDENTITY, *POOLS, *CONVOLUTIONS)
                entries.append(choice(f"{name}/{edge}", *operators, when=(is_used,)))
        return tuple(entries)

    def _network(self, configuration: Configuration, factor: float) -> Graph:
        draft, stages = Draft(self.input), Stages.of(self.input, configuration, factor)
        assembly = _Assembly(draft, configuration, self.motif_nodes, self.cell_nodes)
        value = stages.stem(draft, self.input.name)
        for stage in range(stages.count):
            if stage:
                layer = Layer("separable_conv", stages.channels(stage), 3, stride=2)
                value = draft.layer(f"reduction{stage}", value, layer)
            for cell in range(1, stages.cells + 1):
                value = assembly.cell(f"cell{stage * stages.cells + cell}", value)
        return draft.graph(value, Head(self.classes, stages.dropout))

    def _sentence(self, configuration: Configuration, filters: str) -> str:
        stages = Stages.of(self.input, configuration)
        edges = [str(value) for name, value in configuration.items() if name.startswith("cell/") and value != NONE]
        used = Counter(str(value) for name, value in configuration.items() if name.startswith("motif"))
        operators = ", ".join(f"{count} {name}" for name, count in used.most_common() if name not in (NONE, IDENTITY))
        return (
            f"{counted(stages.count * stages.cells, 'cell')} with {counted(len(edges), 'edge')} "
            f"of {counted(len({*edges} - {IDENTITY}), 'motif')}, {filters}, "
            f"{counted(stages.stem_pools, 'pool')} in the stem, {operators or 'nothing but identities'} in the motifs"
        )


@dataclass(frozen=True, slots=True)
class _Assembly:
    draft: Draft
    configuration: Configuration
    motif_nodes: int
    cell_nodes: int

    def cell(self, scope: str, source: str) -> str:
        return self._assembled("cell", scope, source, self.cell_nodes, self._third_level)

    def _third_level(self, scope: str, motif: str, source: str) -> str:
        if motif == IDENTITY:
            return source
        return self._assembled(motif, f"{scope}/{motif}", source, self.motif_nodes, self._primitive)

    def _primitive(self, scope: str, operator: str, source: str) -> str:
        if operator in POOLS:
            return self.draft.add(f"{scope}/pool", POOLS[operator], source, kernel=3, stride=1, padding="same")
        if operator in CONVOLUTIONS:
            op, kernel = CONVOLUTIONS[operator]
            return self.draft.layer(scope, source, Layer(op, self.draft.shape(source)[0], kernel))
        return source

    def _assembled(self, name: str, scope: str, source: str, nodes: int, apply: Callable[[str, str, str], str]) -> str:
        """`apply`: from the scope of an edge, its operator and the value at its beginning to the one at its end."""
        values, reaching = {1: source}, list[str]()
        for node in range(2, nodes + 1):
            operators = {at: value_of(self.configuration, f"{name}/{_edge(at, node)}", str) for at in values}
            reaching = [
                apply(f"{scope}/{_edge(at, node)}", operator, values[at])
                for at, operator in operators.items()
                if operator != NONE
            ]
            if reaching and node < nodes:
                values[node] = self.draft.total(f"{scope}/node{node}", reaching)
        if len(reaching) < 2:
            return reaching[0] if reaching else source
        mix = Layer("conv", self.draft.shape(source)[0], 1)
        return self.draft.layer(f"{scope}/mix", self.draft.joined(scope, reaching), mix)


def _edges(nodes: int) -> list[str]:
    return [_edge(one, other) for one, other in combinations(range(1, nodes + 1), 2)]


def _edge(one: int, other: int) -> str:
    return f"edge{one}{other}"
