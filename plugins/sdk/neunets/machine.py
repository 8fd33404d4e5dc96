"""How each device of this machine trains fastest: what was measured, and the file that keeps it.

The trainer measures and writes, the engine reads how many workers a device gets. A file is named after everything that
the measurement depends on, so that another machine, device or version of torch finds none and measures anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import math
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from neunets.canonical import framed
from neunets.limits import cores

__all__ = [
    "TRAINING_ENVIRONMENT", "Choices", "MemoryFormat", "Precision", "cache_folder", "fingerprint", "only_one", "read",
    "write",
]  # fmt: skip

LOG: Final = logging.getLogger(__name__)
# Of every process that trains, and that measures how fast it can.
TRAINING_ENVIRONMENT: Final[Mapping[str, str]] = {
    # Spinning OpenMP threads cost a 2-thread step 13 times its duration as soon as a core is shared.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Large blocks are kept, not given back to the kernel at each step: 13 % of a training step.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}
# A measurement is over long before; a process that hangs in one does not hold up the others.
LONGEST_WAIT_S: Final = 60.0
POLL_S: Final = 0.05


class Precision(Enum):
    """Number format of the operations of a training step; weights are float32 in each."""

    FLOAT32 = "float32"
    TENSOR_FLOAT32 = "tf32"  # of a GPU's tensor cores: 10 bits of fraction
    BFLOAT16 = "bfloat16"


class MemoryFormat(Enum):
    """Order in memory of the values between image layers."""

    CONTIGUOUS = "contiguous"
    CHANNELS_LAST = "channels_last"


@dataclass(frozen=True, slots=True)
class Choices:
    """The fastest settings of a device. None: not measured.

    `batch_size`: the smallest that is nearly as fast as the fastest; `workers`: trainings at once on the device, with
    `threads` each; `flops`: a second, of a worker's training steps, 0.0: not measured. The mappings give images per
    second by what was tried, such as "bfloat16 channels_last", "64", "2 x 1" (workers x threads).
    """

    precision: Precision = Precision.FLOAT32
    memory_format: MemoryFormat = MemoryFormat.CONTIGUOUS
    batch_size: int | None = None
    workers: int | None = None
    threads: int | None = None
    format_rates: Mapping[str, float] = field(default_factory=dict)
    batch_rates: Mapping[str, float] = field(default_factory=dict)
    worker_rates: Mapping[str, float] = field(default_factory=dict)
    flops: float = 0.0

    @property
    def is_complete(self) -> bool:
        return None not in (self.batch_size, self.workers, self.threads)


def cache_folder() -> Path:
    """The folder of what can be measured again; without a home folder, one in the system's folder for such things."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neunets"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"neunets-cache-{os.getuid()}"


def fingerprint(name: str) -> str:
    """Of everything that the speed of a device depends on. `name`: "cpu", or the GPU's as its driver calls it."""
    parts = [name, platform.machine(), _torch_version(), os.environ.get("ATEN_CPU_CAPABILITY", "")]
    parts.append(str(cores().value))
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        parts += [next(line for line in lines if line.startswith(word)) for word in ("model name", "flags")]
    except (OSError, StopIteration):
        parts.append(platform.processor())
    return hashlib.sha256(framed(map(str.encode, parts))).hexdigest()[:16]


def read(folder: Path, name: str) -> Choices | None:
    """What is known of a device; None: nothing, or nothing that can be read."""
    try:
        values = json.loads((folder / f"{fingerprint(name)}.json").read_text())
        values["precision"] = Precision(values["precision"])
        values["memory_format"] = MemoryFormat(values["memory_format"])
        values["flops"] = float(values["flops"])
        choices = Choices(**values)
    except (OSError, ValueError, KeyError, TypeError):  # of an earlier version, or cut off
        return None
    counts = (choices.batch_size, choices.workers, choices.threads)
    rates = (choices.format_rates, choices.batch_rates, choices.worker_rates)
    is_whole = all(count is None or (type(count) is int and count > 0) for count in counts)
    is_whole = is_whole and isinstance(choices.flops, float) and 0.0 <= choices.flops < math.inf
    return choices if is_whole and all(isinstance(each, dict) for each in rates) else None


def write(folder: Path, name: str, choices: Choices) -> None:
    """Keep `choices`, whole or not at all. Where nothing can be written, the next process measures again."""
    path = folder / f"{fingerprint(name)}.json"
    scratch = path.with_suffix(f".{os.getpid()}.part")
    values = asdict(choices) | {"precision": choices.precision.value, "memory_format": choices.memory_format.value}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(values, indent=2))
        scratch.replace(path)
    except OSError as error:
        LOG.warning("measurements are not kept: %s", error)
        with suppress(OSError):
            scratch.unlink(missing_ok=True)


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Others wait here for the time of a `with`: two measurements at once would both come out wrong."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "measuring.lock").open("a")
    except OSError:  # nothing can be kept here, so there is nothing to wait for
        yield
        return
    with lock:  # the kernel frees it with the process, however that ends
        latest = time.monotonic() + LONGEST_WAIT_S
        while not _has(lock.fileno()) and time.monotonic() < latest:
            time.sleep(POLL_S)
        yield


def _has(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _torch_version() -> str:
    try:
        return version("torch")
    except PackageNotFoundError:
        return ""
