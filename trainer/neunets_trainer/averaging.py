"""The mean of a network's weights over the last part of its training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Average"]


class Average:
    """Polynomial-decay averaging: Shamir & Zhang, "Stochastic Gradient Descent for Non-smooth Optimization", ICML 2013.

    Their eta is 1 / fraction - 1: the mean reaches back over about the last `fraction` of the steps so far, whatever
    their number, so that a training by the clock needs no plan of it. Running statistics are averaged as well.
    """

    def __init__(self, tensors: Mapping[str, Tensor], fraction: float) -> None:
        """`tensors`: live, by their keys. `fraction` in 0..1, without the ends."""
        self.values = {key: value.detach().clone() for key, value in tensors.items()}
        self._live = [value.detach() for value in tensors.values()]
        self._fraction = fraction

    @torch.no_grad()
    def add(self, step: int) -> None:
        """The weights after step number `step`, from 1."""
        share = 1.0 / (self._fraction * step + 1.0 - self._fraction)
        torch._foreach_lerp_(list(self.values.values()), self._live, share)

    @torch.no_grad()
    def load(self, values: Mapping[str, NDArray[np.float32]]) -> None:
        """As a checkpoint kept it."""
        for key, value in self.values.items():
            value.copy_(torch.from_numpy(np.array(values[key])))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network has the mean weights for the time of a `with`."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for mean, live in zip(self.values.values(), self._live, strict=True):
            kept = live.clone()
            live.copy_(mean)
            mean.copy_(kept)
