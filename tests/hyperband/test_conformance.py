"""Hyperband against the conformance kit."""

from __future__ import annotations

import sys

import pytest

from neunets.conform import Level, Request, conform

COMMAND = f"{sys.executable} -m neunets_hyperband"


def test_it_is_conformant() -> None:
    report = conform(Request(COMMAND))
    assert report.is_conformant, report.summary


@pytest.mark.slow
def test_it_recovers() -> None:
    report = conform(Request(COMMAND, level=Level.RECOVERY, repeat=2, pause_s=2.0))
    assert report.is_conformant, report.summary
