"""Networks and trainings as one space, which labels spell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as tuned
from hypothesis import strategies as st

from hyperband.climbs import PIXELS, SEEDS, problem_of
from neunets.cost import cost
from neunets.draws import generator
from neunets.errors import InvalidRequest, UnsupportedProblem
from neunets.graph import DataType, Input
from neunets.spaces import SPACES, BranchedCells, Designs, Motifs, PlainChains, SkipChains
from neunets.synthesizer import Recipe
from neunets.validate import validate

KINDS = [*SPACES, "all"]
SERIES = Input("sequence", (48, 2), DataType.FLOAT32, (0.0,) * 2, (1.0,) * 2)
LARGE = Input("image", (64, 48, 3), DataType.UINT8, (0.0,) * 3, (1.0,) * 3)


def designs(space: str = "plain", joint: bool = False, source: Input = PIXELS) -> Designs:
    return Designs.of(problem_of(source), names_of(space), ("constant",) if joint else (), None)


def names_of(space: str) -> tuple[str, ...]:
    return tuple(SPACES) if space == "all" else (space,)


@given(seed=SEEDS, space=st.sampled_from(KINDS), joint=st.booleans(), source=st.sampled_from((PIXELS, SERIES)))
@tuned(max_examples=40)
def test_labels_spell_a_configuration(seed: int, space: str, joint: bool, source: Input) -> None:
    found = designs(space, joint, source)
    chosen = found.parameters.sample(generator(seed, 0))
    labels = found.labels(chosen)
    assert found.read(labels) == chosen
    assert all(len(text) <= 256 for text in labels.values())
    np.testing.assert_array_equal(found.parameters.encode(found.read(labels)), found.parameters.encode(chosen))
    validate(found.graph(chosen), classes=3, input=source)


def test_all_spaces_are_drawn_and_told_apart() -> None:
    found = designs("all")
    drawn = [found.parameters.sample(generator(0, number)) for number in range(60)]
    assert {found.labels(each)["space"] for each in drawn} == {"plain", "skip", "branched", "motifs"}
    for each in drawn:
        assert len({name.partition("/")[0] for name in each if "/" in name}) == 1


@pytest.mark.parametrize(
    ("name", "space"),
    [("plain", PlainChains), ("skip", SkipChains), ("branched", BranchedCells), ("motifs", Motifs)],
)
def test_a_network_is_that_of_its_space(name: str, space: type[PlainChains]) -> None:
    found, alone = designs(name), space(PIXELS, 3)
    chosen = found.parameters.sample(generator(1, 0))
    plain = {key.removeprefix(f"{name}/"): value for key, value in chosen.items()}
    assert found.graph(chosen) == alone.graph(plain)
    assert found.told(chosen) == alone.describe(plain)


def test_the_training_is_searched_where_that_is_wished() -> None:
    searched = designs(joint=True)
    chosen = searched.parameters.sample(generator(0, 0))
    assert searched.recipe(chosen).learning_rate == chosen["learning_rate"]
    assert "training" in searched.labels(chosen)
    assert designs().recipe(designs().parameters.sample(generator(0, 0))) == Recipe()


def test_nothing_is_mirrored_that_may_change_its_class() -> None:
    for keeps, is_there in ((True, True), (False, False), (None, False)):
        problem = replace(problem_of(), mirror_keeps_class=keeps)
        names = {entry.name for entry in Designs.of(problem, ("plain",), ("constant",), None).parameters}
        assert ("mirror" in names) is is_there


def test_half_of_what_is_drawn_costs_less_than_a_typical_network() -> None:
    found = designs("all")
    flops = [cost(found.graph(found.parameters.sample(generator(7, number)))).flops for number in range(60)]
    typical = found.typical_flops()
    assert 10 < sum(each < typical for each in flops) < 50


def test_of_all_spaces_those_remain_that_keep_the_bound() -> None:
    with pytest.raises(UnsupportedProblem, match="at least"):
        Designs.of(problem_of(max_params=1), tuple(SPACES), (), None)
    sizes = {}
    for each in ("plain", "skip", "branched", "motifs"):
        with pytest.raises(UnsupportedProblem) as caught:
            Designs.of(problem_of(max_params=1), (each,), (), None)
        sizes[each] = int(caught.value.message.rpartition(" ")[2].replace(",", ""))
    bound = min(sizes.values())
    found = Designs.of(problem_of(max_params=bound), tuple(SPACES), (), None)
    assert set(found.spaces) == {name for name, size in sizes.items() if size <= bound}


@given(seed=SEEDS, space=st.sampled_from(KINDS), joint=st.booleans(), source=st.sampled_from((PIXELS, SERIES)))
@tuned(max_examples=20)
def test_on_the_same_data_a_design_stays_as_it_is(seed: int, space: str, joint: bool, source: Input) -> None:
    found = designs(space, joint, source)
    chosen = found.parameters.sample(generator(seed, 0))
    assert found.transferred(found.labels(chosen), found, generator(seed, 1)) == chosen
    of_all = designs("all", joint, source)
    assert found.transferred(found.labels(chosen), of_all, generator(seed, 1)) == chosen


@given(seed=SEEDS, space=st.sampled_from(KINDS), joint=st.booleans(), was_joint=st.booleans(),
       pair=st.permutations((PIXELS, LARGE, SERIES)))  # fmt: skip
@tuned(max_examples=40)
def test_on_other_data_a_design_has_the_same_places(
    seed: int, space: str, joint: bool, was_joint: bool, pair: list[Input]
) -> None:
    here, there = designs(space, joint, pair[0]), designs("all", was_joint, pair[1])
    chosen = there.parameters.sample(generator(seed, 0))
    found = here.transferred(there.labels(chosen), there, generator(seed, 1))
    assert (found is None) is (chosen["space"] not in here.spaces)
    if found is None:
        return
    assert here.read(here.labels(found)) == found
    validate(here.graph(found), classes=3, input=pair[0])
    before = {entry.name: entry for entry in there.parameters}
    for entry in here.parameters:
        if entry.name not in found.keys() & chosen.keys():
            continue
        value, other = found[entry.name], chosen[entry.name]
        if entry.is_ordered:
            assert value == entry.at(before[entry.name].place(other))
        elif other in entry.values:
            assert value == other


def test_what_is_labelled_for_another_schedule_is_read() -> None:
    once = Designs.of(problem_of(), ("plain",), ("one_cycle",), None)
    chosen, constant = once.parameters.sample(generator(0, 0)), designs(joint=True)
    found = constant.transferred(once.labels(chosen), constant, generator(0, 1))
    assert found == {**chosen, "schedule": "constant"}


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"rung": "0", "bracket": "0"},
        {"space": "plain"},
        {"space": "unknown", "network": "80"},
        {"space": "plain", "network": ""},
        {"space": "plain", "network": "zz" * 61},
        {"space": "plain", "network": "80" * 1000},
        {"space": "plain", "network": "80", "training": "80"},
    ],
)
def test_labels_that_nobody_can_read_are_no_design(labels: dict[str, str]) -> None:
    found = designs("all", True)
    assert found.transferred(labels, found, generator(0, 0)) is None
    with pytest.raises(InvalidRequest):
        found.read(labels)


def test_a_bound_changes_no_parameter_of_a_space_that_keeps_it() -> None:
    free = designs("all", True)
    for bound in (3_000, 100_000):
        found = Designs.of(problem_of(max_params=bound), tuple(SPACES), ("constant",), 1_000)
        for name, space in found.spaces.items():
            assert space.parameters == free.spaces[name].parameters
