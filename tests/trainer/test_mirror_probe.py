"""The mirror probe tells data sets apart in which a mirror changes the class."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neunets.graph import DataType, Input
from neunets_trainer.data import Data, Split
from neunets_trainer.mirror_probe import TOLERANCE, MirrorProbe, probe_mirror

IMAGE = Input("image", (4, 4, 1), DataType.UINT8, (100.0,), (60.0,))
accuracies = st.floats(0.0, 1.0)
rows = st.integers(1, 10**6)


def halves(axis: int) -> Data:
    """Two classes: which half of an image along `axis` (1: upper or lower, 2: left or right) is bright."""
    rng = np.random.default_rng(axis)
    x = rng.integers(0, 100, (400, 4, 4, 1), dtype=np.uint8)
    y = np.arange(len(x)) % 2
    for image, label in zip(x, y, strict=True):
        np.moveaxis(image, axis - 1, 0)[2 * label : 2 * label + 2] += 150
    pictures, labels = torch.from_numpy(x), torch.from_numpy(y)
    return Data(Path(), "cpu", Split(pictures[:200], labels[:200]), Split(pictures[200:], labels[200:]))


def test_a_mirror_changes_a_class_that_is_left_or_right() -> None:
    probe = probe_mirror(halves(2), IMAGE, 2, seed=0)
    assert not probe.keeps_class
    assert probe.plain > 0.95
    assert probe.mirrored < 0.75


def test_a_mirror_keeps_a_class_that_is_up_or_down() -> None:
    data = halves(1)
    probe = probe_mirror(data, IMAGE, 2, seed=0)
    assert probe.keeps_class
    assert probe == probe_mirror(data, IMAGE, 2, seed=0)


def test_a_probe_that_cannot_be_trained_claims_nothing() -> None:
    one = Split(torch.zeros(1, 1, 1, 1, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64))
    image = Input("image", (1, 1, 1), DataType.UINT8, (0.0,), (1.0,))  # of a single value there is no variance
    probe = probe_mirror(Data(Path(), "cpu", one, one), image, 2, seed=0)
    assert math.isnan(probe.plain)
    assert not probe.keeps_class


@pytest.mark.parametrize(("plain", "mirrored"), [(math.nan, math.nan), (0.9, math.nan), (math.nan, 0.9)])
def test_what_was_not_measured_keeps_no_class(plain: float, mirrored: float) -> None:
    assert not MirrorProbe(plain, mirrored, 1000).keeps_class


@given(plain=accuracies, mirrored=accuracies, rows=rows)
def test_a_loss_beyond_the_tolerance_is_a_changed_class(plain: float, mirrored: float, rows: int) -> None:
    if plain - mirrored > TOLERANCE:
        assert not MirrorProbe(plain, mirrored, rows).keeps_class


@given(accuracy=accuracies)
def test_no_loss_on_many_rows_is_a_kept_class(accuracy: float) -> None:
    assert MirrorProbe(accuracy, accuracy, 1000).keeps_class


@given(plain=accuracies, mirrored=accuracies, rows=rows, more=rows)
def test_more_rows_never_unsay_that_the_class_is_kept(plain: float, mirrored: float, rows: int, more: int) -> None:
    if MirrorProbe(plain, mirrored, rows).keeps_class:
        assert MirrorProbe(plain, mirrored, rows + more).keeps_class
