"""A picture of a network: chains of nodes within a scope are boxes, and what feeds what are lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from neunets.cost import parameters
from neunets.graph import Graph, Node, Shape
from neunets.ops import OPERATORS
from neunets.shapes import infer_shapes
from neunets_engine.export.layout import Layout, layers, place
from neunets_engine.export.svg import INK, MONO, PALE, Point, Sheet, columns, shorten

__all__ = ["MOST_NODES", "draw_architecture"]

# Larger pictures are neither read nor drawn within a second.
MOST_NODES: Final = 600
MOST_LANES: Final = 6000

FONT: Final = 11
COLUMN: Final = 0.61 * FONT  # of the widest common monospaced font
ROW, HEAD, PADDING, MARGIN = 17.0, 20.0, 8.0, 24.0
CAPTION: Final = 44.0
LEGEND: Final = "A row: node, operator, output (channels first), parameters. Orange: a connection that skips layers."
LONGEST: Final = (22, 34, 20, 13)  # letters of a cell
LONGEST_SCOPE: Final = 44
FRAME, BAND, BODY, WIRE, SKIP = "#9fb3c8", "#d9e8f6", "#fbfdff", "#627d98", "#d9480f"


@dataclass(frozen=True, slots=True)
class _Block:
    """Nodes of one scope, each of which feeds the next one alone. Its table has a row a node."""

    scope: str
    names: tuple[str, ...]  # in full
    rows: tuple[tuple[str, str, str, str], ...]  # name, operator, shape of the output, parameters
    params: int

    def widths(self) -> list[int]:
        """Letters of each column."""
        return [max(columns(row[number]) for row in self.rows) for number in range(4)]

    def size(self) -> Point:
        letters = max(sum(self.widths()) + 6, columns(self.heading()) + columns(self.total()) + 2)
        return letters * COLUMN + 2 * PADDING, (HEAD if self.scope else 0.0) + len(self.rows) * ROW + PADDING

    def heading(self) -> str:
        return shorten(self.scope, LONGEST_SCOPE)

    def total(self) -> str:
        return f"{self.params:,}" if self.scope and self.params and len(self.rows) > 1 else ""


def draw_architecture(graph: Graph) -> bytes | None:
    """SVG of a valid graph; None where it is too large to be read."""
    if len(graph.nodes) > MOST_NODES:
        return None
    chains = _chains(graph)
    block_of = {node.name: number for number, chain in enumerate(chains, 1) for node in chain}
    block_of[graph.input.name] = 0
    wires = {(block_of[name], block_of[chain[0].name]): None for chain in chains for name in chain[0].inputs}
    depth = layers(len(chains) + 1, list(wires))
    spans = [depth[target] - depth[source] for source, target in wires]
    if sum(spans) > MOST_LANES:
        return None
    blocks = [_input(graph), *_blocks(graph, chains)]
    return _draw(blocks, place([block.size() for block in blocks], list(wires)), spans)


def _chains(graph: Graph) -> list[list[Node]]:
    """All nodes, in the order of the first ones: a node joins the one before if that feeds it alone, in one scope."""
    users: dict[str, int] = {graph.output: 1}
    for node in graph.nodes:
        for name in node.inputs:
            users[name] = users.get(name, 0) + 1
    ends: dict[str, list[Node]] = {}  # chains by the name of their last node
    chains: list[list[Node]] = []
    for node in graph.nodes:
        source = node.inputs[0]
        if len(node.inputs) == 1 and source in ends and users[source] == 1 and _scope(source) == _scope(node.name):
            chain = ends.pop(source)
        else:
            chain = []
            chains.append(chain)
        chain.append(node)
        ends[node.name] = chain
    return chains


def _input(graph: Graph) -> _Block:
    given = graph.input
    stored = f"{given.dtype.value} {_extents(given.shape)}"
    row = (shorten(given.name, LONGEST[0]), f"input, {stored}", _extents(given.value_shape()), "")
    return _Block("", (given.name,), (row,), 0)


def _blocks(graph: Graph, chains: list[list[Node]]) -> list[_Block]:
    shapes = infer_shapes(graph)
    sizes: dict[str, int] = {}
    for key, parameter in parameters(graph).items():
        name = key.rpartition(".")[0]
        sizes[name] = sizes.get(name, 0) + parameter.size * parameter.trainable
    blocks = []
    for chain in chains:
        rows = []
        for node in chain:
            count = f"{sizes[node.name]:,}" if sizes.get(node.name) else ""
            cells = (node.name.rpartition("/")[2], _operator(node), _extents(shapes[node.name]), count)
            name, operator, shape, size = map(shorten, cells, LONGEST)
            rows.append((name, operator, shape, size))
        names = tuple(node.name for node in chain)
        params = sum(sizes.get(name, 0) for name in names)
        blocks.append(_Block(_scope(names[0]), names, tuple(rows), params))
    return blocks


def _operator(node: Node) -> str:
    """Its attributes that are no defaults; channels and units are in the shape already."""
    words = []
    for key, value in node.attributes.items():
        if key in ("channels", "units") or value == OPERATORS[node.op].attributes[key].default:
            continue
        words.append(value if isinstance(value, str) else f"{key} {value}")
    return f"{node.op} {', '.join(words)}" if words else node.op


def _scope(name: str) -> str:
    return name.rpartition("/")[0]


def _extents(shape: Shape) -> str:
    return "×".join(map(str, shape))  # noqa: RUF001


def _draw(blocks: list[_Block], layout: Layout, spans: list[int]) -> bytes:
    """`spans`: layers that each route goes down."""
    caption = (
        f"{sum(len(block.rows) for block in blocks[1:])} nodes, {sum(block.params for block in blocks):,} parameters"
    )
    width = max(layout.size[0], columns(LEGEND) * COLUMN) + 2 * MARGIN
    sheet = Sheet(width, layout.size[1] + CAPTION + 2 * MARGIN, f"The network: {caption}")
    sheet.text((MARGIN, MARGIN + 8.0), caption, font_weight="bold", font_size="13")
    sheet.text((MARGIN, MARGIN + 24.0), LEGEND, fill=PALE)
    left, top = (width - layout.size[0]) / 2, CAPTION + MARGIN
    for route, span in sorted(zip(layout.routes, spans, strict=True), key=lambda wire: wire[1]):
        _draw_wire(sheet, [(x + left, y + top) for x, y in route], span)
    for block, (x, y) in zip(blocks, layout.corners, strict=True):
        _draw_block(sheet, block, (x + left, y + top))
    return sheet.to_bytes()


def _draw_wire(sheet: Sheet, route: list[Point], span: int) -> None:
    colour = SKIP if span > 1 else WIRE
    sheet.curve([*route[:-1], (route[-1][0], route[-1][1] - 5.0)], colour, 1.4)
    sheet.arrowhead(route[-1], colour)


def _draw_block(sheet: Sheet, block: _Block, corner: Point) -> None:
    x, y = corner
    width, height = block.size()
    sheet.box(corner, (width, height), BODY, FRAME, radius=4.0)
    if block.scope:
        sheet.box((x + 0.5, y + 0.5), (width - 1.0, HEAD - 1.0), BAND, radius=4.0)
        sheet.text((x + PADDING, y + 14.0), block.heading(), MONO, font_weight="bold")
        sheet.hint(block.scope)
        sheet.text((x + width - PADDING, y + 14.0), block.total(), MONO, text_anchor="end", font_weight="bold")
        y += HEAD
    name_width, _, _, params_width = block.widths()
    shape_x = x + width - PADDING - (params_width + 2) * COLUMN
    for number, (name, (label, operator, shape, params)) in enumerate(zip(block.names, block.rows, strict=True)):
        base = y + PADDING / 2 + number * ROW + 12.0
        sheet.text((x + PADDING, base), label, MONO, fill=PALE)
        sheet.hint(name)
        sheet.text((x + PADDING + (name_width + 2) * COLUMN, base), operator, MONO)
        sheet.text((shape_x, base), shape, MONO, text_anchor="end", fill=INK)
        sheet.text((x + width - PADDING, base), params, MONO, text_anchor="end", fill=PALE)
