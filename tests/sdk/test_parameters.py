"""A space of parameters: configurations have exactly the active ones, and survive vectors and texts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.draws import generator
from neunets.errors import InvalidRequest
from neunets.spaces import (
    AnyOf,
    Condition,
    Configuration,
    Parameter,
    Parameters,
    Value,
    choice,
    real,
    value_of,
    whole,
)

SEEDS = st.integers(0, 2**64 - 1)


@st.composite
def conditions(draw: st.DrawFn, known: list[Parameter]) -> Condition | AnyOf:
    def single() -> Condition:
        entry = draw(st.sampled_from(known))
        count = min(3, len(entry.values))
        values = draw(st.lists(st.sampled_from(entry.values), min_size=1, max_size=count, unique=True))
        return Condition(entry.name, tuple(values))

    return single() if draw(st.booleans()) else AnyOf((single(), single()))


@st.composite
def spaces(draw: st.DrawFn) -> Parameters:
    """Parameters of all kinds, whose conditions may be chained; one of them can always change."""
    entries = [whole("p0", 0, draw(st.integers(1, 5)))]
    for number in range(1, draw(st.integers(1, 9))):
        name, when = f"p{number}", tuple(draw(st.lists(conditions(entries), max_size=2)))
        makers = (
            lambda name=name, when=when: choice(name, "a", "b", "c", when=when),
            lambda name=name, when=when: choice(name, True, when=when),
            lambda name=name, when=when: real(name, 1e-5, 1e-1, is_logarithmic=True, when=when),
            lambda name=name, when=when: whole(name, -2, draw(st.integers(-2, 400)), when=when),
            lambda name=name, when=when: Parameter(name, (32, 64, 128), True, when),
        )
        entries.append(draw(st.sampled_from(makers))())
    return Parameters(tuple(entries))


@st.composite
def configured(draw: st.DrawFn) -> tuple[Parameters, Configuration]:
    space = draw(spaces())
    return space, space.sample(generator(draw(SEEDS), 0))


def assert_belongs(configuration: Configuration, space: Parameters) -> None:
    """To the space: it has the active parameters in their order, each with one of its values."""
    active = [entry for entry in space if entry.is_active(configuration)]
    assert [*configuration] == [entry.name for entry in active]
    assert all(configuration[entry.name] in entry.values for entry in active)


@given(case=configured(), seed=SEEDS)
def test_what_is_drawn_and_what_comes_of_it_belongs_to_the_space(
    case: tuple[Parameters, Configuration], seed: int
) -> None:
    space, configuration = case
    assert_belongs(configuration, space)
    assert_belongs(space.first(), space)
    assert_belongs(space.mutate(configuration, generator(seed, 0)), space)
    assert_belongs(space.neighbour(configuration, generator(seed, 1)), space)


@given(space=spaces(), seed=SEEDS)
def test_the_same_generator_draws_the_same(space: Parameters, seed: int) -> None:
    assert space.sample(generator(seed, 0)) == space.sample(generator(seed, 0))


@given(case=configured(), seed=SEEDS)
def test_a_mutation_differs_in_one_value_and_in_what_depends_on_it(
    case: tuple[Parameters, Configuration], seed: int
) -> None:
    space, configuration = case
    for changed in (
        space.mutate(configuration, generator(seed, 0)),
        space.neighbour(configuration, generator(seed, 0)),
    ):
        both = configuration.keys() & changed.keys()
        assert sum(configuration[name] != changed[name] for name in both) == 1


@given(count=st.integers(2, 256), at=st.integers(0, 255), seed=SEEDS)
def test_a_neighbour_of_an_ordered_value_is_near(count: int, at: int, seed: int) -> None:
    entry = whole("count", 0, count - 1)
    before = min(at, count - 1)
    after = entry.near(before, generator(seed, 0))
    assert isinstance(after, int)
    assert 1 <= abs(after - before) <= max(1, round(0.1 * (count - 1)))


@given(case=configured())
def test_a_vector_of_a_configuration_gives_it_back(case: tuple[Parameters, Configuration]) -> None:
    space, configuration = case
    vector = space.encode(configuration)
    assert vector.shape == (len(space),)
    assert [math.isnan(place) for place in vector] == [entry.name not in configuration for entry in space]
    assert all(0.0 < place < 1.0 for place in vector if not math.isnan(place))
    assert space.decode(vector) == configuration


@given(space=spaces(), data=st.data())
def test_any_vector_is_a_configuration(space: Parameters, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.floats(), min_size=len(space), max_size=len(space)))
    configuration = space.decode(np.array(places))
    assert_belongs(configuration, space)
    assert space.decode(space.encode(configuration)) == configuration


@given(space=spaces(), more=st.integers(1, 3))
def test_a_vector_of_another_length_is_none(space: Parameters, more: int) -> None:
    with pytest.raises(ValueError, match="argument 2"):
        space.decode(np.full(len(space) + more, 0.5))


@given(case=configured())
def test_what_is_spelt_is_read(case: tuple[Parameters, Configuration]) -> None:
    space, configuration = case
    text = space.spell(configuration)
    assert len(text) == 2 * len(space)
    assert text.isascii()
    assert space.read(text) == configuration


@given(count=st.integers(1, 256), data=st.data())
def test_two_digits_of_its_place_tell_a_value(count: int, data: st.DataObject) -> None:
    space, value = Parameters((whole("count", 1, count),)), data.draw(st.integers(1, count))
    spelt = int(space.spell({"count": value}), 16)
    assert spelt == (2 * value - 1) * 128 // count
    assert space.entries[0].at((spelt + 0.5) / 256) == value


@given(count=st.integers(1, 256), other=st.integers(1, 256), data=st.data())
def test_an_ordered_value_goes_over_by_its_place(count: int, other: int, data: st.DataObject) -> None:
    there, here = whole("count", 1, count), whole("count", 1, other)
    value = data.draw(st.integers(1, count))
    taken = here.like(there, value)
    assert isinstance(taken, int)
    assert here.place(taken) == pytest.approx(there.place(value), abs=0.5 / other + 1e-9)
    assert here.like(here, taken) == taken


def test_an_unordered_value_goes_over_as_it_is() -> None:
    there = choice("kind", "a", "b", "c")
    assert choice("kind", "c", "b").like(there, "b") == "b"
    assert choice("kind", "c", "b").like(there, "a") is None


@given(case=configured(), data=st.data())
def test_no_other_text_is_read(case: tuple[Parameters, Configuration], data: st.DataObject) -> None:
    space, configuration = case
    text = space.spell(configuration)
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.text("0123456789abcdefABF.+- x", max_size=2)) + text[at + 1 :]
    try:
        read = space.read(changed)
    except InvalidRequest:
        return
    assert_belongs(read, space)
    assert space.spell(read) == changed


@pytest.mark.parametrize("text", ["-1", "+1", " 1", "0B", "b", "", "0b0b", "..", "0a", "ff", "zz"])
def test_what_only_looks_like_a_place_is_not_read(text: str) -> None:
    assert Parameters((whole("count", 0, 10),)).read("0b") == {"count": 0}
    assert Parameters((whole("count", 0, 10),)).read("f4") == {"count": 10}
    with pytest.raises(InvalidRequest):
        Parameters((whole("count", 0, 10),)).read(text)


def test_values_given_are_kept_where_they_are_active() -> None:
    space = Parameters((whole("count", 1, 2), choice("kind", "a", "b", when=(Condition("count", (2,)),))))
    assert space.completed({"count": 1, "kind": "b"}, generator(0, 0)) == {"count": 1}
    assert space.completed({"count": 2, "kind": "b"}, generator(0, 0)) == {"count": 2, "kind": "b"}


@pytest.mark.parametrize(("one", "other", "is_active"), [(0, 0, False), (1, 0, True), (0, 1, True), (1, 1, True)])
def test_one_condition_of_several_is_enough_where_any_may_hold(one: int, other: int, is_active: bool) -> None:
    either = AnyOf((Condition("one", (1,)), Condition("other", (1,))))
    space = Parameters((whole("one", 0, 1), whole("other", 0, 1), choice("more", "a", "b", when=(either,))))
    assert ("more" in space.completed({"one": one, "other": other}, generator(0, 0))) is is_active


@pytest.mark.parametrize(
    "later", [Condition("later", (0,)), AnyOf((Condition("first", (0,)), Condition("later", (0,))))]
)
def test_a_condition_on_what_comes_later_is_refused(later: Condition | AnyOf) -> None:
    with pytest.raises(InvalidRequest, match="second: depends on 'later'"):
        Parameters((whole("first", 0, 1), choice("second", 1, when=(later,)), whole("later", 0, 1)))


def test_a_name_is_there_once() -> None:
    space = Parameters((whole("count", 0, 1),))
    with pytest.raises(InvalidRequest, match="two parameters"):
        space + space
    assert [entry.name for entry in space + Parameters((whole("more", 0, 1),))] == ["count", "more"]


@pytest.mark.parametrize("values", [(), ("a", "a"), tuple(range(257))])
def test_a_parameter_has_different_values_that_two_digits_count(values: tuple[Value, ...]) -> None:
    with pytest.raises(InvalidRequest, match="count: "):
        choice("count", *values)


@given(low=st.integers(1, 1000), more=st.integers(0, 10_000), is_logarithmic=st.booleans())
def test_whole_numbers_are_ordered_and_have_both_ends(low: int, more: int, is_logarithmic: bool) -> None:
    values = whole("count", low, low + more, is_logarithmic).values
    assert (values[0], values[-1]) == (low, low + more)
    assert [*values] == sorted({*values}, key=float)
    assert len(values) == more + 1 or len(values) <= 256


@given(low=st.floats(1e-6, 1.0), factor=st.floats(1.1, 1e6), is_logarithmic=st.booleans())
def test_real_numbers_are_ordered_and_have_both_ends(low: float, factor: float, is_logarithmic: bool) -> None:
    values = [float(value) for value in real("rate", low, low * factor, is_logarithmic).values]
    assert (values[0], values[-1]) == (pytest.approx(low, rel=1e-5), pytest.approx(low * factor, rel=1e-5))
    assert values == sorted(values)


def test_a_value_has_its_type() -> None:
    configuration: Configuration = {"count": 3, "name": "a"}
    assert value_of(configuration, "count", int) == 3
    with pytest.raises(InvalidRequest, match="name: the configuration has no int"):
        value_of(configuration, "name", int)
    with pytest.raises(InvalidRequest, match="other: the configuration has no str"):
        value_of(configuration, "other", str)
