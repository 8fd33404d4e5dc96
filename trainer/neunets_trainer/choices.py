"""The fastest settings of a device: measured once, then read from a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import torch

from neunets.cost import STEP_COST
from neunets.limits import cores
from neunets.machine import Choices, Precision, only_one, read, write
from neunets_trainer.crowd import Crowd, crowd_rates
from neunets_trainer.measurement import FLOPS, Setting, rates, settings

__all__ = ["choose", "complete", "name_of"]

# A number format that is not clearly faster is not worth its rounding.
WORTH: Final = 1.2
# Of the fastest: what is nearly as fast is taken where it is better in another way.
NEARLY: Final = 0.9
BATCHES: Final = (32, 64, 128, 256, 512)
LARGE_BATCHES: Final = (1024, 2048)  # of a GPU
GPU_WORKERS: Final = (1, 2, 4, 8)
T = TypeVar("T")


def choose(device: str, folder: Path) -> Choices:
    """With number and memory format: what a worker has to know at its start takes it a second, once."""
    name = name_of(device)
    known = read(folder, name)
    if known is not None:
        return known
    with only_one(folder):
        known = read(folder, name)  # of whom we waited for
        if known is None:
            known = _formats(device)
            write(folder, name, known)
    return known


def complete(device: str, folder: Path) -> Choices:
    """All of them; the first time, it takes some seconds and the whole machine."""
    name, known = name_of(device), choose(device, folder)
    if known.is_complete:
        return known
    with only_one(folder):
        known = read(folder, name) or known
        if not known.is_complete:
            known = _workers(device, _batch(device, known))
            write(folder, name, known)
    return known


def name_of(device: str) -> str:
    """As `neunets.machine` wants it."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"


def _formats(device: str) -> Choices:
    found = rates(settings(device), device)
    chosen = Precision.FLOAT32
    best = {precision: _fastest(found, precision) for precision in Precision}
    for precision, rate in best.items():
        if rate > WORTH * best[chosen]:
            chosen = precision
    fastest = max((each for each in found if each.precision is chosen), key=lambda each: found[each])
    by_form = {each.form: rate for each, rate in found.items()}
    flops = STEP_COST * FLOPS * found[fastest]
    return Choices(chosen, fastest.memory_format, flops=flops, format_rates=by_form)


def _fastest(found: Mapping[Setting, float], precision: Precision) -> float:
    return max((rate for setting, rate in found.items() if setting.precision is precision), default=0.0)


def _batch(device: str, known: Choices) -> Choices:
    """The smallest batch that is nearly as fast as the fastest: small batches learn more from each image."""
    batches = BATCHES + (LARGE_BATCHES if device.startswith("cuda") else ())
    found = rates([Setting(known.precision, known.memory_format, batch) for batch in batches], device)
    by_batch = {setting.batch: rate for setting, rate in found.items()}
    return replace(known, batch_size=_first(by_batch), batch_rates={str(key): rate for key, rate in by_batch.items()})


def _workers(device: str, known: Choices) -> Choices:
    """On a GPU the fewest workers that are nearly as fast as the fastest: each holds the data.

    On a CPU one single-threaded worker on each core, unless another division is clearly faster.
    """
    usable = cores().value
    if device.startswith("cuda"):
        tried = [Crowd(workers, 1) for workers in GPU_WORKERS]
    else:
        tried = list(dict.fromkeys((Crowd(usable, 1), Crowd(max(1, usable // 2), min(2, usable)), Crowd(1, usable))))
    found = crowd_rates(tried, Setting(known.precision, known.memory_format), device)
    best = _first(found)
    by_crowd = {str(crowd): rate for crowd, rate in found.items()}
    return replace(known, workers=best.workers, threads=best.threads, worker_rates=by_crowd)


def _first(found: Mapping[T, float]) -> T:
    """That is nearly as fast as the fastest."""
    fastest = max(found.values())
    return next(tried for tried, rate in found.items() if rate >= NEARLY * fastest)
