"""The memory of a training, in bytes: of the device where it has its own, else of the process."""

from __future__ import annotations

import resource

import psutil
import torch

__all__ = ["peak_bytes", "used_bytes"]


def peak_bytes(device: str) -> int:
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kibibytes on Linux


def used_bytes(device: str) -> int:
    if device.startswith("cuda"):
        return int(torch.cuda.memory_allocated(device))
    return int(psutil.Process().memory_info().rss)
