"""SGD with Nesterov's momentum, as `torch.optim.SGD` computes it.

Its own class, because torch's imports the compiler when the first optimizer is made: 1.3 s of the first trial of each
worker, and 150 MB that it keeps.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["Nesterov"]


class Nesterov:
    """`momenta`: by the parameters' keys, zero at the start. Weight decay is for matrices and kernels alone.

    Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, in torch's form:
    v <- momentum v + g; p <- p - rate (g + momentum v).
    """

    def __init__(self, parameters: Mapping[str, Tensor], momentum: float, weight_decay: float) -> None:
        self.momenta = {key: torch.zeros_like(value) for key, value in parameters.items()}
        self._parameters = list(parameters.values())
        self._decayed = [number for number, value in enumerate(self._parameters) if value.ndim > 1]
        self._momentum, self._weight_decay = momentum, weight_decay

    def zero_grad(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move every parameter; each has a gradient."""
        gradients = [_gradient(parameter) for parameter in self._parameters]
        if self._decayed and self._weight_decay:
            chosen = [gradients[number] for number in self._decayed]
            values = [self._parameters[number] for number in self._decayed]
            torch._foreach_add_(chosen, values, alpha=self._weight_decay)
        if self._momentum:
            momenta = list(self.momenta.values())
            torch._foreach_mul_(momenta, self._momentum)
            torch._foreach_add_(momenta, gradients)
            torch._foreach_add_(gradients, momenta, alpha=self._momentum)
        torch._foreach_add_(self._parameters, gradients, alpha=-rate)


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad
