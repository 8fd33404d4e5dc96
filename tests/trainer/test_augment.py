"""Laws of the random changes of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from neunets_trainer.augment import cutout, mirror, shift

seeds = st.integers(0, 2**63 - 1)
amounts = st.integers(0, 5)
sides = st.integers(0, 20)  # larger than the images, too


@dataclass(frozen=True)
class Images:
    x: Tensor  # (N, H, W, C) uint8, without zeros, so that what came in is seen


@st.composite
def images(draw: st.DrawFn) -> Images:
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 7), st.integers(1, 3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Images(torch.from_numpy(rng.integers(1, 256, shape, dtype=np.uint8)))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(batch=images(), seed=seeds)
def test_a_shift_by_nothing_is_the_identity(batch: Images, seed: int) -> None:
    assert torch.equal(shift(batch.x, 0, seeded(seed)), batch.x)


@given(batch=images(), most=amounts, seed=seeds)
def test_a_shifted_image_is_a_window_of_the_padded_one(batch: Images, most: int, seed: int) -> None:
    shifted = shift(batch.x, most, seeded(seed)).numpy()
    assert shifted.shape == tuple(batch.x.shape)
    assert shifted.dtype == np.uint8
    padded = np.pad(batch.x.numpy(), ((0, 0), (most, most), (most, most), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, shifted.shape[1:3], axis=(1, 2))
    for image, own in zip(shifted, windows, strict=True):  # own: (2 most + 1, 2 most + 1, C, H, W)
        assert (own == np.moveaxis(image, -1, 0)).all(axis=(2, 3, 4)).any()


@given(batch=images(), seed=seeds)
def test_a_mirrored_batch_holds_each_image_or_its_mirror(batch: Images, seed: int) -> None:
    for image, before in zip(mirror(batch.x, seeded(seed)), batch.x, strict=True):
        assert torch.equal(image, before) or torch.equal(image, before.flip(1))


@given(batch=images(), side=sides, seed=seeds)
def test_a_cut_out_is_one_rectangle_of_the_fill(batch: Images, side: int, seed: int) -> None:
    fill = torch.zeros(batch.x.shape[-1], dtype=torch.uint8)
    for image, before in zip(cutout(batch.x, side, fill, seeded(seed)), batch.x, strict=True):
        blanked = (image == fill).all(-1).numpy()
        lines, columns = blanked.any(1), blanked.any(0)
        np.testing.assert_array_equal(blanked, lines[:, None] & columns)
        for axis in (lines, columns):
            places = np.flatnonzero(axis)
            assert len(places) <= side
            assert len(places) == 0 or np.ptp(places) == len(places) - 1
        assert blanked.any() == (side > 0)
        assert torch.equal(image[torch.from_numpy(~blanked)], before[torch.from_numpy(~blanked)])


@given(batch=images(), fill=st.lists(st.integers(0, 255), min_size=3, max_size=3), seed=seeds)
def test_a_cut_out_has_the_fill_of_each_channel(batch: Images, fill: list[int], seed: int) -> None:
    colour = torch.tensor(fill[: batch.x.shape[-1]], dtype=torch.uint8)
    whole = cutout(batch.x, 20, colour, seeded(seed))  # from any centre all of the image
    assert torch.equal(whole, colour.expand(batch.x.shape))


@given(batch=images(), most=amounts, side=sides, seed=seeds)
def test_the_same_generator_gives_the_same_batch(batch: Images, most: int, side: int, seed: int) -> None:
    one, other = seeded(seed), seeded(seed)
    fill = torch.zeros(batch.x.shape[-1], dtype=torch.uint8)
    for _ in range(2):
        assert torch.equal(shift(batch.x, most, one), shift(batch.x, most, other))
        assert torch.equal(mirror(batch.x, one), mirror(batch.x, other))
        assert torch.equal(cutout(batch.x, side, fill, one), cutout(batch.x, side, fill, other))


@given(batch=images(), side=sides, seed=seeds)
def test_a_cut_out_leaves_the_batch_itself_as_it_was(batch: Images, side: int, seed: int) -> None:
    before = batch.x.clone()
    cutout(batch.x, side, torch.zeros(batch.x.shape[-1], dtype=torch.uint8), seeded(seed))
    assert torch.equal(batch.x, before)


def test_every_shift_and_both_mirrors_occur() -> None:
    image = torch.arange(1, 10, dtype=torch.uint8).reshape(1, 3, 3, 1).repeat(500, 1, 1, 1)
    assert len(torch.unique(shift(image, 1, seeded(0)), dim=0)) == 9
    assert len(torch.unique(mirror(image, seeded(0)), dim=0)) == 2


def test_every_pixel_is_the_centre_of_a_cut_out() -> None:
    image = torch.ones(500, 3, 4, 1, dtype=torch.uint8)
    fill = torch.zeros(1, dtype=torch.uint8)
    single = cutout(image, 1, fill, seeded(0))
    assert len(torch.unique(single, dim=0)) == 12
    assert (single == 0).sum() == len(image)
    assert len(torch.unique(cutout(image, 3, fill, seeded(0)), dim=0)) == 12  # less of it at the border


def test_the_images_of_a_batch_move_apart() -> None:
    image = torch.arange(1, 50, dtype=torch.uint8).reshape(1, 7, 7, 1).repeat(64, 1, 1, 1)
    assert len(torch.unique(shift(image, 2, seeded(1)), dim=0)) > 10
