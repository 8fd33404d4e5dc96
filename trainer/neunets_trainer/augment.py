"""Random changes of a batch of stored images that leave their class as it is."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["cutout", "mirror", "shift"]


def shift(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Move each image by up to `most` pixels along both axes; what comes in is zero. (N, H, W, C), any type."""
    count, height, width, channels = images.shape
    padded = F.pad(images, (0, 0, most, most, most, most))
    line = padded.shape[2] * channels
    by = torch.randint(0, 2 * most + 1, (2, count), generator=generator, device=images.device)
    begin = (torch.arange(count, device=images.device) * padded.shape[1] + by[0]) * line + by[1] * channels
    lines = begin[:, None] + torch.arange(height, device=images.device) * line  # (N, H)
    # Whole lines are copied from wherever they begin: 15 to 50 times as fast as single pixels.
    from_anywhere = padded.reshape(-1).unfold(0, width * channels, 1)
    return from_anywhere.index_select(0, lines.view(-1)).view(images.shape)


def mirror(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn each image left to right with probability 1/2. (N, H, W, C)."""
    count = len(images)
    turned = torch.rand(count, generator=generator, device=images.device) < 0.5
    # To copy images out of both sets is 3 times as fast as `where`.
    both = torch.cat([images, images.flip(2)])
    return both.index_select(0, torch.arange(count, device=images.device) + count * turned)


def cutout(images: Tensor, side: int, fill: Tensor, generator: torch.Generator) -> Tensor:
    """Blank a square of each image around a random centre; near the border a part of it lies outside.

    DeVries & Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", arXiv:1708.04552.
    `images` (N, H, W, C) and `fill` (C,) are uint8.
    """
    count, height, width, channels = images.shape
    masks = []  # of lines and columns; all bits set where they cross the square
    for extent in (height, width):
        centre = torch.randint(0, extent, (count, 1), generator=generator, device=images.device)
        offset = torch.arange(extent, device=images.device) - centre + side // 2  # (N, extent)
        masks.append(((offset >= 0) & (offset < side)).to(torch.uint8).neg())
    square = masks[0][:, :, None] & masks[1].repeat_interleave(channels, 1)[:, None, :]
    lines = images.view(count, height, width * channels)
    # Exclusive or, twice: 10 times as fast as `where` on bytes.
    blanked: Tensor = lines ^ ((lines ^ fill.repeat(width)) & square)
    return blanked.view(images.shape)
