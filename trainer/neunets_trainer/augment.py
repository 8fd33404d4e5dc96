"""Random changes of a batch of stored images that leave their class as it is."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["mirror", "shift"]


def shift(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Move each image by up to `most` pixels along both axes; what comes in is zero. (N, H, W, C), any type."""
    count, height, width, _ = images.shape
    padded = F.pad(images, (0, 0, most, most, most, most))
    begin = torch.randint(0, 2 * most + 1, (2, count), generator=generator, device=images.device)
    rows = begin[0][:, None] + torch.arange(height, device=images.device)  # (N, H)
    columns = begin[1][:, None] + torch.arange(width, device=images.device)  # (N, W)
    image = torch.arange(count, device=images.device)[:, None, None]
    return padded[image, rows[:, :, None], columns[:, None, :]]


def mirror(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn each image left to right with probability 1/2. (N, H, W, C)."""
    turned = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return torch.where(turned[:, None, None, None], images.flip(2), images)
