"""Cells stay alike, and every mutation keeps what the network computes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fakes import network
from ncevolve.evolutions import PIXELS, SEEDS
from neunets.draws import generator
from neunets.graph import DataType, Graph, Input
from neunets.morphisms import inherit
from neunets.ops import attributes_of
from neunets.reference import initialise, run
from neunets.spaces import ChainSpace
from neunets.validate import validate
from neunets_ncevolve.mutations import Asymmetry, Mutant, Mutation, mutate
from neunets_ncevolve.settings import settings_of
from neunets_ncevolve.template import template_of

SMALL = Input("image", (12, 12, 2), DataType.UINT8, (120.0, 110.0), (60.0, 61.0))
WIDTH, TOLERANCE = 3, 1e-10
EXACT = Asymmetry(shares=0.5)


def template(source: Input = SMALL, preset: str = "fast", head: str = "flatten_fc") -> Graph:
    return template_of(source, 4, settings_of({"preset": preset, "head": head})).graph(WIDTH)


def mutated(graph: Graph, seed: int, count: int) -> list[Mutant]:
    """So many mutations, one after another."""
    found = list[Mutant]()
    while len(found) < count:
        draws = (mutate(graph, generator(seed, len(found), draw), EXACT) for draw in range(1000))
        found.append(next(mutant for mutant in draws if mutant is not None))
        graph = found[-1].graph
    return found


def cells_of(graph: Graph) -> list[list[object]]:
    """Each cell's nodes in their order, without the cell's own name; what is outside of a cell is its input."""
    numbers = sorted({name.partition("/")[0] for node in graph.nodes if (name := node.name).startswith("cell")})

    def local(name: str, cell: str) -> str:
        return name.removeprefix(f"{cell}/") if name.startswith(f"{cell}/") else "input"

    return [
        [
            (local(node.name, cell), node.op, [local(name, cell) for name in node.inputs], dict(attributes_of(node)))
            for node in graph.nodes
            if node.name.startswith(f"{cell}/")
        ]
        for cell in numbers
    ]


@given(seed=SEEDS, count=st.integers(1, 8), preset=st.sampled_from(("fast", "paper")), extent=st.sampled_from((12, 32)))
@settings(max_examples=50)
def test_cells_stay_identical(seed: int, count: int, preset: str, extent: int) -> None:
    source = Input("image", (extent, extent, 2), DataType.UINT8, (120.0, 110.0), (60.0, 61.0))
    graph = mutated(template(source, preset), seed, count)[-1].graph
    validate(graph, classes=4, input=source)
    first, *others = cells_of(graph)
    assert others
    assert all(cell == first for cell in others)


@given(seed=SEEDS, count=st.integers(1, 6))
@settings(max_examples=20)
def test_a_lineage_has_a_step_a_cell_or_one_outside(seed: int, count: int) -> None:
    graph = template()
    for mutant in mutated(graph, seed, count):
        nodes = [step.node for step in mutant.lineage]
        scopes = [node.partition("/")[0] for node in nodes]
        assert scopes == ["cell1", "cell2"] or (len(nodes) == 1 and not nodes[0].startswith("cell"))
        assert len({node.partition("/")[2] for node in nodes}) == 1


def test_every_mutation_occurs() -> None:
    found = Counter(mutant.mutation for seed in range(20) for mutant in mutated(template(), seed, 6))
    assert found.keys() == set(Mutation)
    assert min(found.values()) >= 5
    steps = [mutant.lineage[0] for seed in range(20) for mutant in mutated(template(), seed, 6)]
    assert {getattr(step, "layer", "conv") for step in steps} == {"conv", "separable_conv"}
    assert {getattr(step, "side", "left") for step in steps} == {"left", "right"}


@pytest.mark.parametrize("mutation", Mutation)
@given(seed=SEEDS)
@settings(max_examples=8)
def test_a_mutation_keeps_the_function(mutation: Mutation, seed: int) -> None:
    graph = template()
    steps: Sequence[Mutant] = ()
    for draw in range(50):  # until it occurs
        steps = mutated(graph, (seed + draw) % 2**64, 4)
        if any(step.mutation is mutation for step in steps):
            break
    assert_kept(graph, steps, seed)


@given(seed=SEEDS)
@settings(max_examples=10)
def test_a_long_lineage_keeps_the_function(seed: int) -> None:
    assert_kept(template(head="global_pool"), mutated(template(head="global_pool"), seed, 8), seed)


def assert_kept(graph: Graph, steps: Sequence[Mutant], seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights: dict[str, NDArray[np.float64]] = {
        key: value.astype(np.float64) for key, value in initialise(graph, rng).items()
    }
    for key, value in weights.items():  # running statistics and biases that matter
        low, high = (0.5, 2.0) if key.endswith("running_var") else (-1.0, 1.0)
        if value.ndim == 1:
            weights[key] = rng.uniform(low, high, value.shape)
    x = rng.integers(0, 256, (3, *graph.input.shape), dtype=np.uint8)
    child, inherited = inherit(graph, weights, [step for mutant in steps for step in mutant.lineage], x)
    assert child == steps[-1].graph
    before, after = run(graph, weights, x), run(child, inherited, x)
    np.testing.assert_allclose(after, before, rtol=0.0, atol=TOLERANCE * max(1.0, float(np.abs(before).max())))


@given(seed=SEEDS)
@settings(max_examples=20)
def test_networks_without_cells_are_mutated_at_one_node(seed: int) -> None:
    for mutant in mutated(ChainSpace(PIXELS, 4).standard(), seed, 3):
        assert len(mutant.lineage) == 1
    assert {mutant.mutation for mutant in mutated(network(PIXELS, 4, 5), seed, 3)} == {Mutation.ALTER_UNITS}


@given(seed=SEEDS)
@settings(max_examples=30)
def test_layers_grow_by_a_fifth_to_the_double(seed: int) -> None:
    graph = template_of(PIXELS, 4, settings_of({"head": "flatten_fc"})).graph(48)
    found = mutate(graph, generator(seed, 0), EXACT)
    if found is None or found.mutation not in (Mutation.ALTER_FILTERS, Mutation.ALTER_UNITS):
        return
    for before, after in zip(graph.nodes, found.graph.nodes, strict=True):
        for name in ("channels", "units"):
            old, new = attributes_of(before).get(name), attributes_of(after).get(name)
            assert old == new or (isinstance(old, int) and isinstance(new, int) and 1.1 * old <= new <= 2.1 * old)
