"""Whether this machine has what a synthesis needs."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Final

from neunets import limits
from neunets.machine import TRAINING_ENVIRONMENT

__all__ = ["Check", "examine"]

PACKAGES: Final = ("neunets", "neunets-sdk", "lmdb", "onnx", "onnxruntime")
FREE_BYTES: Final = 1 << 30
TRAINER_DEADLINE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    found: str
    is_fine: bool = True
    fix: str = ""


def examine(home: Path) -> list[Check]:
    plugins = sorted(point.name for point in entry_points(group="neunets.synthesizers"))
    return [
        Check("python", platform.python_version()),
        Check("cores", str(limits.cores())),
        Check("memory", f"{limits.memory_bytes()} bytes"),
        *(_package(name) for name in PACKAGES),
        *_trainer(),
        Check("synthesizers", ", ".join(plugins) or "none", bool(plugins), "pip install neunets-random"),
        _home(home),
    ]


def _package(name: str) -> Check:
    try:
        return Check(name, version(name))
    except PackageNotFoundError:
        return Check(name, "missing", False, "pip install 'neunets[all]'")


def _trainer() -> list[Check]:
    """Asked in a process of its own, since the client does not import torch. It measures for seconds, once."""
    command = [sys.executable, "-P", "-m", "neunets_trainer", "--doctor"]
    try:
        answer = subprocess.run(
            command, capture_output=True, timeout=TRAINER_DEADLINE_S, check=True, text=True,
            env={**os.environ, **TRAINING_ENVIRONMENT},
        )  # fmt: skip
        found = json.loads(answer.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, OSError, ValueError, IndexError):
        return [Check("trainer", "does not start", False, "pip install 'neunets[all]'")]
    return [Check(f"trainer {key}", ", ".join(value) if isinstance(value, list) else str(value))
            for key, value in found.items()]  # fmt: skip


def _home(home: Path) -> Check:
    existing = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK):
        return Check("home", str(home), False, "choose another with --home or NEUNETS_HOME")
    return Check("home", f"{home}, {free >> 30} GiB free", free >= FREE_BYTES, "free some space")
