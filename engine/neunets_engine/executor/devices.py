"""The slots of this machine, found without torch: on its GPUs, or where there is none on its cores."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from neunets.limits import cores
from neunets.machine import cache_folder, read

__all__ = ["local_devices"]

DEADLINE_S: Final = 20.0
LISTED: Final = re.compile(r"GPU \d+: (?P<name>.*) \(UUID: (?P<uuid>.*)\)")


@dataclass(frozen=True, slots=True)
class _Gpu:
    name: str
    uuid: str


def local_devices(measured: Path | None = None) -> list[str]:
    """One entry a slot: "cuda:N" for the GPUs that CUDA_VISIBLE_DEVICES leaves, "cpu" where there is none.

    As many of each as a measurement in the folder `measured` says; without one, one for each GPU or usable core.
    """
    folder = measured or cache_folder()
    gpus = _gpus()
    if not gpus:
        return ["cpu"] * _workers(folder, "cpu", cores().value)
    return [f"cuda:{number}" for number, gpu in enumerate(gpus) for _ in range(_workers(folder, gpu.name, 1))]


def _workers(folder: Path, name: str, unmeasured: int) -> int:
    choices = read(folder, name)
    return unmeasured if choices is None or choices.workers is None else choices.workers


def _gpus() -> list[_Gpu]:
    """In CUDA's order where all are alike; it numbers the fastest first, otherwise."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    program = shutil.which("nvidia-smi")
    if program is None or visible in ("", "-1"):
        return []
    try:
        listing = subprocess.run([program, "-L"], capture_output=True, text=True, check=True, timeout=DEADLINE_S)
    except (OSError, subprocess.SubprocessError):  # a driver without a GPU
        return []
    found = [_Gpu(line["name"], line["uuid"]) for line in map(LISTED.match, listing.stdout.splitlines()) if line]
    return found if visible is None else _chosen(found, visible.split(","))


def _chosen(found: Sequence[_Gpu], visible: Sequence[str]) -> list[_Gpu]:
    """By number or by the beginning of the UUID; CUDA stops at the first that is not there."""
    chosen: list[_Gpu] = []
    for entry in map(str.strip, visible):
        by_number = found[int(entry) : int(entry) + 1] if entry.isdecimal() else ()
        matching = by_number or [gpu for gpu in found if gpu.uuid.startswith(entry)]
        if not matching:
            break
        chosen.append(matching[0])
    return chosen
