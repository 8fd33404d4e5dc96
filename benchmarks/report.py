"""Where results go: JSON with the machine, the versions and the seeds."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

__all__ = ["read", "write"]

RESULTS: Final = Path(__file__).resolve().parent / "results"
# Of which the speed of training depends most.
CPU_FEATURES: Final = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
PACKAGES: Final = ("neunets", "neunets-sdk", "numpy", "torch", "onnxruntime", "lmdb", "grpcio")


def write(name: str, seeds: list[int], result: Mapping[str, object]) -> Path:
    """Write `results/NAME.json`; returns its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    report = {"benchmark": name, "date": date, **_here(), "seeds": seeds, "result": result}
    path.write_text(json.dumps(report, indent=2) + "\n")
    return path


def read(name: str) -> dict[str, Any]:
    """The result that `write` has written on such a machine with these versions; empty where there is none."""
    path = RESULTS / f"{name}.json"
    report = json.loads(path.read_text()) if path.exists() else {}
    here = _here()
    return dict(report["result"]) if {key: report.get(key) for key in here} == here else {}


def _here() -> dict[str, object]:
    features = [name for name in CPU_FEATURES if name in _cpu("flags").split()]
    return {
        "machine": {
            "cpu": _cpu("model name"),
            "features": features,
            "cores": len(os.sched_getaffinity(0)),
            "system": platform.platform(),
        },
        "versions": {"python": platform.python_version()} | {package: version(package) for package in PACKAGES},
    }


def _cpu(key: str) -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "unknown")
