"""The memory of a worker process: what a job leaves behind is given back, and growth without end is noticed."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

import psutil
import torch

from neunets import limits

__all__ = ["Memory", "free_bytes", "release"]

# A process may grow to so many times its size after its first job, ...
GROWTH: Final = 2.0
# ... or, where that is more, to this part of its slot's memory: to begin anew costs some seconds, so not for nothing.
SHARE: Final = 0.5


class Memory:
    """Watches the private memory of this process from one job to the next; the data set is mapped, and not in it."""

    def __init__(self, memory_bytes: int) -> None:
        """`memory_bytes`: of the machine, for this process."""
        self._least_bound = SHARE * memory_bytes
        self._first: int | None = None
        self.private_bytes = 0

    def has_grown(self, device: str) -> bool:
        """Whether the process is better ended: to be asked between two jobs."""
        size = self._measure()
        if self._first is None:
            self._first = size
        bound = max(GROWTH * self._first, self._least_bound)
        if size <= bound:
            return False
        release(device)
        return self._measure() > bound

    def _measure(self) -> int:
        self.private_bytes = int(psutil.Process().memory_full_info().uss)
        return self.private_bytes


def free_bytes(device: str, memory_bytes: int) -> int:
    """What a training may use on the device; `memory_bytes`: of the machine, for this process."""
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    return min(memory_bytes, limits.free_bytes())


def release(device: str) -> None:
    """Give back what is held for nothing: to the device, and to the system."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
        if trim is not None:
            trim(0)
