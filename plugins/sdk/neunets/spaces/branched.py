"""Stages of two kinds of cells, each a small graph of operators with two inputs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, final

from neunets.graph import Graph
from neunets.spaces.build import Draft, Head, Layer, halvings
from neunets.spaces.narrow import BoundedSpace, check_size, counted
from neunets.spaces.parameters import Configuration, Parameter, choice, value_of
from neunets.spaces.stages import Stages, stage_entries

__all__ = ["BranchedCells"]

IDENTITY: Final = "identity"
POOLS: Final = {"max_pool3": "max_pool", "avg_pool3": "avg_pool"}
CONVOLUTIONS: Final = {"separable_conv3": 3, "separable_conv5": 5}
NORMAL, REDUCTION = "normal", "reduction"
SIDES: Final = ("left", "right")
MOST_CELLS: Final = 4


@final
@dataclass(frozen=True, slots=True)
class BranchedCells(BoundedSpace):
    """The micro space of ENAS (Pham et al., arXiv:1802.03268): a normal cell and a reduction cell of `nodes` each.

    A node applies an operator to each of two inputs and adds the results. Input 0 is the output of the cell before
    last, 1 that of the last cell, 2 and on are the earlier nodes of the cell. Nodes that no other one reads are
    concatenated. Each stage has up to `cells` normal cells; stages after the first begin with a reduction cell, whose
    operators halve what they read of other cells, with twice the filters.

    Simpler than ENAS: each separable convolution is there once instead of twice; batch norm stands behind it, and the
    rectifier once behind the sum instead of before each convolution; every input of a cell is brought to its width,
    and where it is larger to its extents, by a 1x1 convolution, strided instead of factorised; the reductions divide
    the cells into equal stages; there is no auxiliary head and no drop-path.
    """

    cells: int = 2
    nodes: int = 4

    def _entries(self) -> tuple[Parameter, ...]:
        check_size("cells", self.cells, MOST_CELLS)
        kinds = (NORMAL, REDUCTION) if halvings(self.input) else (NORMAL,)
        entries = list(stage_entries(self.input, self.cells))
        for kind in kinds:
            for node in range(1, self.nodes + 1):
                # First what makes the smallest network: a chain of nodes that leaves every other cell out.
                inputs = (0, 1) if node == 1 else range(node, -1, -1)
                for scope in (f"{kind}/node{node}/{side}" for side in SIDES):
                    entries.append(choice(f"{scope}/input", *inputs))
                    entries.append(choice(f"{scope}/operator", IDENTITY, *POOLS, *CONVOLUTIONS))
        return tuple(entries)

    def _network(self, configuration: Configuration, factor: float) -> Graph:
        draft, stages = Draft(self.input), Stages.of(self.input, configuration, factor)
        before = last = stages.stem(draft, self.input.name)
        number = 0
        for stage in range(stages.count):
            for kind in ([REDUCTION] if stage else []) + [NORMAL] * stages.cells:
                number += 1
                cell = _Cell(draft, configuration, kind, f"cell{number}", stages.channels(stage))
                before, last = last, cell.output(before, last, self.nodes)
        return draft.graph(last, Head(self.classes, stages.dropout))

    def _sentence(self, configuration: Configuration, filters: str) -> str:
        stages = Stages.of(self.input, configuration)
        used = Counter(
            str(value)
            for name, value in configuration.items()
            if name.startswith(NORMAL) and name.endswith("/operator")
        )
        operators = ", ".join(f"{count} {name}" for name, count in used.most_common() if name != IDENTITY)
        reductions = f" and {counted(stages.count - 1, 'reduction')}" if stages.count > 1 else ""
        return (
            f"{counted(stages.count * stages.cells, 'normal cell')}{reductions} of {counted(self.nodes, 'node')} each, "
            f"{filters}, {counted(stages.stem_pools, 'pool')} in the stem, "
            f"{operators or 'nothing but identities'} in a normal cell"
        )


@dataclass(frozen=True, slots=True)
class _Cell:
    draft: Draft
    configuration: Configuration
    kind: str
    name: str
    width: int

    def output(self, before: str, last: str, nodes: int) -> str:
        stride = 1 if self.draft.shape(before)[1:] == self.draft.shape(last)[1:] else 2
        values = [
            self.draft.layer(f"{self.name}/input0", before, Layer("conv", self.width, 1, stride)),
            self.draft.layer(f"{self.name}/input1", last, Layer("conv", self.width, 1)),
        ]
        read = set[int]()
        for node in range(1, nodes + 1):
            inputs = [value_of(self.configuration, f"{self._scope(node, side)}/input", int) for side in SIDES]
            values.append(self._node(node, inputs, values))
            read.update(inputs)
        return self.draft.joined(self.name, [value for at, value in enumerate(values) if at > 1 and at not in read])

    def _node(self, node: int, inputs: list[int], values: list[str]) -> str:
        """The rectified sum; what comes of pools and identities alone is not below 0 anyway."""
        scope, sides, is_rectified = f"{self.name}/node{node}", list[str](), True
        for side, source in zip(SIDES, inputs, strict=True):
            operator = value_of(self.configuration, f"{self._scope(node, side)}/operator", str)
            stride = 2 if self.kind == REDUCTION and source < 2 else 1
            sides.append(self._side(f"{scope}/{side}", operator, values[source], stride))
            is_rectified &= operator in POOLS or (operator == IDENTITY and stride == 1)
        value = self.draft.total(scope, sides)
        return value if is_rectified else self.draft.activated(scope, value, "relu")

    def _side(self, scope: str, operator: str, source: str, stride: int) -> str:
        if operator in POOLS:
            return self.draft.add(f"{scope}/pool", POOLS[operator], source, kernel=3, stride=stride, padding="same")
        if operator in CONVOLUTIONS:
            layer = Layer("separable_conv", self.width, CONVOLUTIONS[operator], stride, function="")
            return self.draft.layer(scope, source, layer)
        if stride == 1:
            return source
        return self.draft.layer(scope, source, Layer("conv", self.width, 1, stride, function=""))

    def _scope(self, node: int, side: str) -> str:
        return f"{self.kind}/node{node}/{side}"
