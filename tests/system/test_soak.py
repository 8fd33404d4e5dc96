"""An engine that is used for long takes no more than at its start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).resolve().parents[2] / "benchmarks" / "soak.py"


@pytest.mark.slow
def test_what_an_engine_takes_stays_flat_and_health_tells_the_truth() -> None:
    done = subprocess.run([sys.executable, str(SOAK), "1"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nflat\n" in done.stdout
