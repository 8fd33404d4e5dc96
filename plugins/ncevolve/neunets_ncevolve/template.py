"""The network that evolution begins with: a stem, equal cells, a head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from neunets.cost import cost
from neunets.errors import InvalidRequest
from neunets.graph import AttributeValue, Graph, Input, Node
from neunets_ncevolve.bounds import Bounds
from neunets_ncevolve.settings import Head, Settings

__all__ = ["NARROWEST", "Template", "filters", "template_of"]

NARROWEST: Final = 2
SHRINK: Final = 0.8
KERNEL: Final = 3
# Below the first extent a convolution sees little but its padding, so that only the second of two cells pools further.
SMALL_EXTENT, SMALLEST_EXTENT = 3, 2
FEWEST_CELLS, MOST_POOLS = 2, 5


@dataclass(frozen=True, slots=True)
class Template:
    """Layers are convolution, batch norm, rectifier; the head may have one of units, as Wistuba's has.

    A pool stands between a layer's convolution and its norm, one a cell, and not between the cells as in Wistuba's
    template (ECML-PKDD 2018, doi 10.1007/978-3-030-10928-8_15): norms, rectifiers and all that is inserted behind them
    work on a quarter of the values, as in `neunets.spaces.ChainSpace`, and every cell is the same. Further layers of a
    cell have no pool.
    """

    input: Input
    classes: int
    cells: int
    pools_stem: bool
    pools_cells: bool
    head: Head
    layers: int = 1  # of a cell

    def graph(self, width: float) -> Graph:
        """`width`: filters of the stem; cells, head and units have twice as many."""
        nodes: list[Node] = []

        def add(name: str, op: str, **attributes: AttributeValue) -> None:
            nodes.append(Node(name, op, (nodes[-1].name if nodes else self.input.name,), attributes))

        def layer(scope: str, channels: int, pools: bool) -> None:
            add(f"{scope}/conv", "conv", channels=channels, kernel=KERNEL)
            if pools:
                add(f"{scope}/pool", "max_pool", kernel=2, stride=2)
            add(f"{scope}/norm", "batch_norm")
            add(f"{scope}/activation", "activation", function="relu")

        layer("stem", filters(width), self.pools_stem)
        for cell in range(1, self.cells + 1):
            layer(f"cell{cell}", filters(2 * width), self.pools_cells)
            for number in range(2, self.layers + 1):
                layer(f"cell{cell}/layer{number}", filters(2 * width), False)
        layer("head", filters(2 * width), False)
        if self.head is Head.GLOBAL_POOL:
            add("head/pool", "global_pool", function="avg")
        else:
            add("head/flatten", "flatten")
            add("units/linear", "linear", units=filters(2 * width))
            add("units/activation", "activation", function="relu")
        add("logits", "linear", units=self.classes)
        return Graph(self.input, tuple(nodes), "logits")

    def fitted(self, width: float, bounds: Bounds) -> float:
        """The largest of ever smaller widths from `width` on that keeps `bounds`, or the smallest there is."""
        while width > NARROWEST and not bounds.keep(cost(self.graph(width))):
            width = max(NARROWEST, width * SHRINK)
        return width


def template_of(source: Input, classes: int, settings: Settings) -> Template:
    """For an input of any extents. Raises: InvalidRequest where it is too small for so many cells."""
    extent = min(source.shape[:-1])
    usual, most = min(_halvings(extent, SMALL_EXTENT), MOST_POOLS), _halvings(extent, SMALLEST_EXTENT)
    cells = settings.cells or max(usual - settings.pools_stem, min(most, FEWEST_CELLS), 1)
    if cells > max(most, 1):
        text = f"{cells} cells would pool an extent of {extent} to nothing: {max(most, 1)} at most"
        raise InvalidRequest("settings.cells", text)
    return Template(source, classes, cells, settings.pools_stem and usual > cells, most > 0, settings.head)


def filters(wanted: float) -> int:
    """A multiple of 8 where it is large enough for one: vector units like it."""
    return max(NARROWEST, round(wanted)) if wanted < 12 else 8 * round(wanted / 8)


def _halvings(extent: int, smallest: int) -> int:
    count = 0
    while extent // 2 >= smallest:
        extent, count = extent // 2, count + 1
    return count
