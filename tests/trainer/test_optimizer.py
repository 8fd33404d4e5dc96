"""Nesterov's momentum is what torch computes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neunets_trainer.optimizer import Nesterov


@given(
    seed=st.integers(0, 2**32 - 1),
    momentum=st.sampled_from((0.0, 0.5, 0.9)),
    decay=st.sampled_from((0.0, 5e-4, 0.1)),
    rates=st.lists(st.floats(1e-4, 1.0), min_size=1, max_size=5),
)
@settings(max_examples=40)
def test_steps_are_those_of_torch(seed: int, momentum: float, decay: float, rates: list[float]) -> None:
    draws = torch.Generator().manual_seed(seed)
    values = {"kernel": torch.randn(3, 2, 2, 2, generator=draws), "bias": torch.randn(3, generator=draws)}
    ours = {key: value.clone().requires_grad_() for key, value in values.items()}
    theirs = {key: value.clone().requires_grad_() for key, value in values.items()}
    groups = [{"params": [theirs["kernel"]], "weight_decay": decay}, {"params": [theirs["bias"]], "weight_decay": 0.0}]
    reference = torch.optim.SGD(groups, lr=1.0, momentum=momentum, nesterov=momentum > 0.0)
    optimizer = Nesterov(ours, momentum, decay)
    for rate in rates:
        for group in reference.param_groups:
            group["lr"] = rate
        for key, value in values.items():
            gradient = torch.randn(value.shape, generator=draws)
            ours[key].grad, theirs[key].grad = gradient.clone(), gradient.clone()
        optimizer.step(rate)
        reference.step()
    for key in values:
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kernel", [1, 3])
def test_the_order_in_memory_changes_no_step(kernel: int) -> None:
    x = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    moved = []
    for form in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(1)
        layer = torch.nn.Conv2d(3, 4, kernel).to(memory_format=form)
        optimizer = Nesterov(dict(layer.named_parameters()), 0.9, 0.1)
        for _ in range(3):
            optimizer.zero_grad()
            layer(x.contiguous(memory_format=form)).square().sum().backward()
            optimizer.step(0.01)
        moved.append(layer.weight.detach())
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-4, atol=1e-6)
