"""Number and memory format of training steps: float32, or bfloat16 with channels last where a measurement says so."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from pathlib import Path
from typing import Final

import torch
from torch import nn

__all__ = ["Precision", "autocast", "choose", "fingerprint", "measure"]

STEPS: Final = 4
BATCH: Final = 64
# A format that is not clearly faster is not worth its rounding.
WORTH: Final = 1.2


class Precision(Enum):
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


def autocast(precision: Precision, device: str) -> AbstractContextManager[object]:
    if precision is Precision.FLOAT32:
        return nullcontext()
    return torch.autocast(device.partition(":")[0], torch.bfloat16)


def choose(device: str, cache: Path) -> Precision:
    """The faster format on this machine; measured once, then read from the folder `cache`."""
    path = cache / f"{fingerprint(device)}.json"
    try:
        return Precision(json.loads(path.read_text())["precision"])
    except (OSError, ValueError, KeyError):
        pass
    seconds = {precision: measure(precision, device) for precision in Precision}
    faster = seconds[Precision.BFLOAT16] * WORTH < seconds[Precision.FLOAT32]
    precision = Precision.BFLOAT16 if faster else Precision.FLOAT32
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}.part")
    scratch.write_text(
        json.dumps({"precision": precision.value, "step_s": {name.value: value for name, value in seconds.items()}})
    )
    scratch.replace(path)
    return precision


def fingerprint(device: str) -> str:
    """Of everything that the choice depends on."""
    parts = [platform.machine(), torch.__version__, torch.backends.cpu.get_cpu_capability(), device.partition(":")[0]]
    try:
        flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
        model = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
        parts += [flags, model]
    except (OSError, StopIteration):
        parts.append(platform.processor())
    if device.startswith("cuda"):
        parts.append(torch.cuda.get_device_name(device))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def measure(precision: Precision, device: str) -> float:
    """Seconds of a training step of a small convolutional network: the fastest of a few."""
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(64, 10),
    ).to(device)  # fmt: skip
    x = torch.randn(BATCH, 3, 24, 24, generator=generator).to(device)
    if precision is Precision.BFLOAT16:
        net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    y = torch.zeros(BATCH, dtype=torch.int64, device=device)
    times = []
    for _ in range(STEPS + 1):
        begin = time.perf_counter()
        with autocast(precision, device):
            loss = nn.functional.cross_entropy(net(x).float(), y)
        loss.backward()  # type: ignore[no-untyped-call]
        float(loss.detach())  # waits for the device
        times.append(time.perf_counter() - begin)
    return min(times[1:])
