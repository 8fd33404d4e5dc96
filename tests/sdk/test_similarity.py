"""Distances of data sets: what they are blind to, and what counts how much."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.similarity import distances, features_of

Features = dict[str, float]
NAMES = ("imbalance", "height", "log(classes)", "channel_std/0")
# Whole numbers, so that a changed scale is exact.
VALUES = st.integers(-1000, 1000).map(float)
FEATURES = st.dictionaries(st.sampled_from(NAMES), VALUES)
KNOWN = st.lists(FEATURES, max_size=5)


@given(of=FEATURES, known=KNOWN)
def test_nothing_is_between_a_data_set_and_itself(of: Features, known: list[Features]) -> None:
    assert distances(of, [*known, of])[-1] == 0.0


@given(one=FEATURES, other=FEATURES)
def test_two_data_sets_are_as_far_from_one_another(one: Features, other: Features) -> None:
    assert distances(one, [other]) == distances(other, [one])


@given(
    of=FEATURES,
    known=KNOWN,
    name=st.sampled_from(NAMES),
    factor=st.integers(-1000, 1000).filter(bool),
    offset=VALUES,
)
def test_the_unit_of_a_feature_changes_nothing(
    of: Features, known: list[Features], name: str, factor: int, offset: float
) -> None:
    def changed(features: Features) -> Features:
        return {**features, name: factor * features[name] + offset} if name in features else features

    assert distances(changed(of), [changed(each) for each in known]) == distances(of, known)


@given(of=FEATURES, known=KNOWN)
def test_each_feature_counts_one_at_most(of: Features, known: list[Features]) -> None:
    for features, distance in zip(known, distances(of, known), strict=True):
        assert 0.0 <= distance <= len(of.keys() | features.keys())


def test_a_feature_of_one_alone_counts_like_the_largest_difference() -> None:
    of = {"imbalance": 1.0, "height": 8.0}
    known = [{"imbalance": 2.0, "height": 8.0}, {"imbalance": 5.0, "height": 8.0}, {"imbalance": 1.0}]
    assert distances(of, known) == [0.25, 1.0, 1.0]


def test_rows_classes_and_extents_are_features_too() -> None:
    features = features_of({"imbalance": 2.0, "class_entropy": math.nan}, 1000, 10, (28, 24, 3))
    assert features == {
        "imbalance": 2.0,
        "log(train_rows)": pytest.approx(math.log(1000)),
        "log(classes)": pytest.approx(math.log(10)),
        "log(rows of a class)": pytest.approx(math.log(100)),
        "height": 28.0,
        "width": 24.0,
        "channels": 3.0,
    }


def test_a_sequence_has_a_length() -> None:
    assert features_of({}, 100, 2, (48, 2)).items() >= {"length": 48.0, "channels": 2.0}.items()
