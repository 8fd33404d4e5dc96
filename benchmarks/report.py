"""Where results go: JSON with the machine, the versions and the seeds."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

__all__ = ["write"]

RESULTS: Final = Path(__file__).resolve().parent / "results"
PACKAGES: Final = ("neunets", "neunets-sdk", "numpy", "torch", "onnxruntime", "lmdb", "grpcio")


def write(name: str, seeds: list[int], result: Mapping[str, object]) -> Path:
    """Write `results/NAME.json`; returns its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    report = {
        "benchmark": name,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cpu": _cpu(), "cores": len(os.sched_getaffinity(0)), "system": platform.platform()},
        "versions": {"python": platform.python_version()} | {package: version(package) for package in PACKAGES},
        "seeds": seeds,
        "result": result,
    }
    path.write_text(json.dumps(report, indent=2) + "\n")
    return path


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
