"""The devices of this machine, found without torch: its GPUs, or where there is none its cores."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final

__all__ = ["local_devices"]

DEADLINE_S: Final = 20.0


def local_devices() -> list[str]:
    """One entry a slot: "cuda:N" for each GPU that CUDA_VISIBLE_DEVICES leaves, else "cpu" for each core."""
    gpus = _gpu_count()
    return [f"cuda:{number}" for number in range(gpus)] or ["cpu"] * len(os.sched_getaffinity(0))


def _gpu_count() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    program = shutil.which("nvidia-smi")
    if program is None or visible in ("", "-1"):
        return 0
    try:
        listing = subprocess.run([program, "-L"], capture_output=True, text=True, check=True, timeout=DEADLINE_S)
    except (OSError, subprocess.SubprocessError):  # a driver without a GPU
        return 0
    found = sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
    return found if visible is None else min(found, len(visible.split(",")))
