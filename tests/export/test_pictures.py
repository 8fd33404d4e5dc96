"""The pictures are well-formed SVG that draws everything within its frame."""

from __future__ import annotations

import math
from itertools import combinations, pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import IMAGE, network
from neunets.cost import cost
from neunets.graph import Graph, Node
from neunets.validate import validate
from neunets_engine.export import Curve, draw_architecture, draw_curves
from neunets_engine.export.architecture import MOST_NODES
from neunets_engine.export.layout import layers, place
from neunets_engine.export.svg import columns, shorten
from strategies import graphs

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = st.floats(0.0, 1e30) | st.just(math.nan)


def parse(svg: bytes | None) -> ElementTree.Element:
    assert svg is not None
    return ElementTree.fromstring(svg)


def texts(svg: bytes | None) -> list[str]:
    return [element.text or "" for element in parse(svg).iter(f"{SVG}text")]


def hints(svg: bytes | None) -> list[str]:
    return [element.text or "" for element in parse(svg).iter(f"{SVG}title")]


def chain(names: list[str]) -> Graph:
    """Identities, then a pool and logits."""
    sources = ["image", *names]
    nodes = [Node(name, "identity", (source,)) for source, name in pairwise(sources)]
    pool = Node("pool", "global_pool", (sources[-1],), {"function": "avg"})
    return Graph(IMAGE, (*nodes, pool, Node("logits", "linear", ("pool",), {"units": 3})), "logits")


def residual() -> Graph:
    nodes = (
        Node("a/conv", "conv", ("image",), {"channels": 2, "kernel": 3}),
        Node("b/conv", "conv", ("a/conv",), {"channels": 2, "kernel": 3}),
        Node("b/relu", "activation", ("b/conv",), {"function": "relu"}),
        Node("sum", "add", ("b/relu", "a/conv")),
        Node("pool", "global_pool", ("sum",), {"function": "avg"}),
        Node("logits", "linear", ("pool",), {"units": 3}),
    )
    return Graph(IMAGE, nodes, "logits")


@st.composite
def curves(draw: st.DrawFn, title: str = "final training") -> Curve:
    reports = draw(st.integers(0, 12))
    columns_ = [draw(st.lists(NUMBERS, min_size=reports, max_size=reports)) for _ in range(4)]
    epoch = np.cumsum(draw(st.lists(st.floats(0.0, 1e3), min_size=reports, max_size=reports)))
    return Curve(title, np.array(epoch, np.float64), *(np.array(column, np.float64) for column in columns_))


def curve(reports: int) -> Curve:
    x = np.linspace(0.0, 2.0, reports)
    return Curve("final training", x, np.exp(-x), np.exp(-x), 1.0 - np.exp(-x), 0.1 + 0.0 * x)


@given(graph=graphs())
@settings(max_examples=50)
def test_every_node_of_every_network_is_drawn(graph: Graph) -> None:
    svg = draw_architecture(graph)
    assert {graph.input.name, *(node.name for node in graph.nodes)} <= set(hints(svg))
    assert texts(svg)[0] == f"{len(graph.nodes)} nodes, {cost(graph).params:,} parameters"


def test_a_row_tells_operator_shape_and_parameters() -> None:
    found = texts(draw_architecture(residual()))
    for words in ("b", "conv", "conv kernel 3", "2×8×8", "36", "activation relu", "input, uint8 8×8×1"):  # noqa: RUF001
        assert words in found


def test_a_connection_that_skips_a_layer_has_a_colour_of_its_own() -> None:
    wires = [element.get("stroke") for element in parse(draw_architecture(residual())).iter(f"{SVG}path")]
    lines = [colour for colour in wires if colour]
    assert sorted(map(lines.count, set(lines))) == [1, 3]


@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=60), max_size=5, unique=True
    )
)
def test_no_name_breaks_the_picture(names: list[str]) -> None:
    graph = chain([f"{name}." for name in names])
    validate(graph, classes=3)
    assert {node.name for node in graph.nodes} <= set(hints(draw_architecture(graph)))


def test_a_long_name_is_shortened_and_whole_under_the_mouse() -> None:
    svg = draw_architecture(chain(["x" * 250]))
    assert max(map(len, texts(svg)[2:])) < 40
    assert "x" * 250 in hints(svg)


def test_a_network_too_large_to_be_read_is_not_drawn() -> None:
    assert draw_architecture(chain([f"n{number}" for number in range(MOST_NODES)])) is None


def test_a_hidden_layer_is_in_the_picture_of_a_plain_network() -> None:
    assert "linear" in texts(draw_architecture(network(IMAGE, 3, 8)))


@st.composite
def boxes(draw: st.DrawFn) -> tuple[list[tuple[float, float]], list[tuple[int, int]]]:
    """Sizes, and edges to higher numbers so that every box but the first has one."""
    count = draw(st.integers(2, 14))
    sizes = [(draw(st.floats(10.0, 300.0)), draw(st.floats(10.0, 90.0))) for _ in range(count)]
    edges = {(draw(st.integers(0, target - 1)), target) for target in range(1, count)}
    extra = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda edge: edge[0] < edge[1])
    return sizes, sorted(edges | draw(st.sets(extra, max_size=12)))


@given(case=boxes())
def test_boxes_do_not_overlap_and_lie_within_the_picture(
    case: tuple[list[tuple[float, float]], list[tuple[int, int]]],
) -> None:
    sizes, edges = case
    layout = place(sizes, edges)
    ends = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(layout.corners, sizes, strict=True)]
    for left, top, right, bottom in ends:
        assert left >= -1e-6 and top >= 0.0  # noqa: PT018
        assert right <= layout.size[0] + 1e-6 and bottom <= layout.size[1] + 1e-6  # noqa: PT018
    for one, other in combinations(ends, 2):
        apart = one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]
        assert apart


@given(case=boxes())
def test_every_route_goes_down_from_its_source_to_its_target(
    case: tuple[list[tuple[float, float]], list[tuple[int, int]]],
) -> None:
    sizes, edges = case
    layout, depth = place(sizes, edges), layers(len(sizes), edges)
    for (source, target), route in zip(edges, layout.routes, strict=True):
        assert depth[source] < depth[target]
        assert [y for _, y in route] == sorted(y for _, y in route)
        (x, y), (width, height) = layout.corners[source], sizes[source]
        assert route[0] == pytest.approx((x + width / 2, y + height))
        left, top = layout.corners[target]
        assert route[-1][1] == top
        assert left <= route[-1][0] <= left + sizes[target][0]


@given(first=curves(), second=curves("best of the search"))
@settings(max_examples=60)
def test_whatever_was_reported_is_drawn_within_the_frame(first: Curve, second: Curve) -> None:
    svg = draw_curves([first, second])
    if svg is None:
        return
    root = parse(svg)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for line in root.iter(f"{SVG}polyline"):
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0.0 <= x <= width
            assert 0.0 <= y <= height


def test_nothing_reported_is_no_picture() -> None:
    assert draw_curves([curve(0)]) is None
    assert draw_curves([]) is None


def test_the_curve_names_its_panels_and_trainings() -> None:
    found = texts(draw_curves([curve(5), curve(3)]))
    for words in ("loss", "validation accuracy", "learning rate", "epoch", "final training", "training", "validation"):
        assert words in found


def test_a_long_training_takes_no_more_room_than_a_picture_shows() -> None:
    assert len(draw_curves([curve(100_000)]) or b"") < 40_000


@given(text=st.text(), most=st.integers(1, 30))
def test_a_shortened_text_fits(text: str, most: int) -> None:
    assert columns(shorten(text, most)) <= most
    assert shorten(text, max(columns(text), 1)) == text
