"""The template suits any input, and its cells are alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncevolve.evolutions import PIXELS, inputs
from neunets.cost import cost
from neunets.errors import InvalidRequest
from neunets.graph import DataType, Input
from neunets.ops import attributes_of
from neunets.shapes import infer_shapes
from neunets.validate import validate
from neunets_ncevolve.bounds import Bounds
from neunets_ncevolve.settings import Settings, settings_of
from neunets_ncevolve.template import NARROWEST, template_of

SETTINGS = st.builds(
    lambda preset, head: settings_of({"preset": preset, "head": head}),
    st.sampled_from(("fast", "paper")),
    st.sampled_from(("global_pool", "flatten_fc")),
)


def square(extent: int, channels: int = 3) -> Input:
    return Input("image", (extent, extent, channels), DataType.UINT8, (0.0,) * channels, (1.0,) * channels)


@given(source=inputs(), settings=SETTINGS, width=st.floats(NARROWEST, 64.0))
def test_it_is_a_network_for_any_input(source: Input, settings: Settings, width: float) -> None:
    validate(template_of(source, 7, settings).graph(width), classes=7, input=source)


@given(source=inputs(low=8, high=256), settings=SETTINGS)
def test_its_last_map_is_2_to_8_wide(source: Input, settings: Settings) -> None:
    graph = template_of(source, 7, settings).graph(NARROWEST)
    assert 2 <= min(infer_shapes(graph)["head/activation"][1:]) <= 8


@given(source=inputs(), settings=SETTINGS, width=st.floats(NARROWEST, 64.0))
def test_its_cells_are_one_layer_of_the_same_width(source: Input, settings: Settings, width: float) -> None:
    template = template_of(source, 7, settings)
    convolutions = [node for node in template.graph(width).nodes if node.op == "conv" and "cell" in node.name]
    assert len(convolutions) == template.cells
    assert len({tuple(attributes_of(node).items()) for node in convolutions}) == 1


@pytest.mark.parametrize(("extent", "cells", "pools"), [(3, 1, 0), (8, 2, 2), (28, 2, 3), (32, 2, 3), (64, 3, 4)])
def test_cells_and_pools_follow_from_the_extent(extent: int, cells: int, pools: int) -> None:
    template = template_of(square(extent), 10, settings_of({}))
    assert template.cells == cells
    assert sum(node.op == "max_pool" for node in template.graph(8).nodes) == pools


@pytest.mark.parametrize(("extent", "cells"), [(32, 3), (64, 4)])
def test_the_paper_s_stem_pools_nothing(extent: int, cells: int) -> None:
    template = template_of(square(extent), 10, settings_of({"preset": "paper"}))
    assert (template.cells, template.pools_stem) == (cells, False)


def test_the_paper_s_template_has_its_widths() -> None:
    graph = template_of(square(32), 10, settings_of({"preset": "paper"})).graph(64)
    layers = [node for node in graph.nodes if node.op in ("conv", "linear")]
    widths = [attributes_of(node).get("channels", attributes_of(node).get("units")) for node in layers]
    assert widths == [64, 128, 128, 128, 128, 128, 10]


@given(source=inputs(), settings=SETTINGS, params=st.integers(100, 100_000), flops=st.integers(10_000, 10_000_000))
def test_it_is_narrowed_until_it_fits(source: Input, settings: Settings, params: int, flops: int) -> None:
    template, bounds = template_of(source, 7, settings), Bounds(params, flops)
    width = template.fitted(64, bounds)
    assert width == NARROWEST or bounds.keep(cost(template.graph(width)))
    assert width == 64 or not bounds.keep(cost(template.graph(64)))


def test_more_cells_than_can_pool_are_refused() -> None:
    assert template_of(PIXELS, 10, settings_of({"cells": 3.0})).cells == 3
    with pytest.raises(InvalidRequest, match="3 at most"):
        template_of(PIXELS, 10, settings_of({"cells": 5.0}))
