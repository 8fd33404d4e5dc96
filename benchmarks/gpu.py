"""Two figures of a GPU alone: how near a large network comes to its matrix units, and small trainings side by side.

Not run by us: there was no GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Final

import torch
from loops import split
from nets import HEAVY, NETS, Net

from neunets.cost import cost
from neunets.machine import Choices
from neunets_trainer.data import Split

__all__ = ["measure"]

SIDE: Final = 8192
PRODUCTS: Final = 50
ROWS: Final = 8192
SECONDS: Final = 3.0
TRAININGS: Final = 8
# Forward, and twice as much backward.
STEP_COST: Final = 3

Ours = Callable[[Net, Split, str, Choices, float], float]


def measure(device: str, chosen: Choices, seed: int, ours: Ours) -> dict[str, Any]:
    """Prints and returns both figures."""
    images_per_s = ours(HEAVY, split(HEAVY, ROWS, seed, device), device, chosen, SECONDS)
    achieved, possible = images_per_s * STEP_COST * cost(HEAVY.graph).flops, _matrix_flops(device)
    print(f"{HEAVY.name}: {achieved / 1e12:.1f} TFLOP/s, {achieved / possible:.1%} of a bfloat16 matrix product's")
    alone, together = (_together(count, device, chosen, seed, ours) for count in (1, TRAININGS))
    print(f"{TRAININGS} trainings of {NETS[0].name} in processes: {together / alone:.2f} x the images/s of one")
    return {
        "step_flops": achieved, "matrix_flops": possible, "share": achieved / possible,
        "alone": alone, "together": together, "trainings": TRAININGS,
    }  # fmt: skip


def _matrix_flops(device: str) -> float:
    """Operations per second of large bfloat16 matrix products."""
    one = torch.randn(SIDE, SIDE, device=device, dtype=torch.bfloat16)
    for count in (5, PRODUCTS):  # the first ones choose the kernel
        torch.cuda.synchronize(device)
        begin = time.perf_counter()
        for _ in range(count):
            one @ one
        torch.cuda.synchronize(device)
    return 2.0 * SIDE**3 * PRODUCTS / (time.perf_counter() - begin)


def _together(count: int, device: str, chosen: Choices, seed: int, ours: Ours) -> float:
    """Images per second of `count` trainings of the smallest network at once."""
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        # A first round, so that all processes have started when the second one begins.
        for seconds in (1.0, SECONDS):
            rates = [pool.submit(_train, device, chosen, seed, ours, seconds) for _ in range(count)]
            total = sum(each.result() for each in rates)
    return total


def _train(device: str, chosen: Choices, seed: int, ours: Ours, seconds: float) -> float:
    net = NETS[0]
    return ours(net, split(net, ROWS, seed, device), device, chosen, seconds)
