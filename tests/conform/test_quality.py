"""The level quality: each flaw is found by its check."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conform.searching import FLAWS
from neunets.conform import CHECKS, Level, Report, Request, conform

TESTS = Path(__file__).resolve().parents[1]
QUALITY = tuple(check.id for check in CHECKS if check.level is Level.QUALITY)
RANDOM = f"{sys.executable} -m neunets_random"


# That a few runs are enough to find.
SOON = ("repeats-itself", "stops-all")


def _checked(command: str, runs: int, only: tuple[str, ...] = QUALITY) -> Report:
    return conform(Request(command, directory=TESTS, only=only, runs=runs))


def _searching(flaw: str) -> str:
    return f"{sys.executable} -m conform.searching --flaw {flaw}"


def _failed(report: Report) -> list[str]:
    return [verdict.check.id for verdict in report.failed]


def test_a_flaw_is_found_by_its_check_within_one_run() -> None:
    assert _failed(_checked(_searching("too-certain"), 1, QUALITY[2:])) == ["quality/predictions"]


@pytest.mark.slow
@pytest.mark.parametrize("flaw", SOON)
def test_others_are_found_within_two_runs(flaw: str) -> None:
    assert _failed(_checked(_searching(flaw), 2, QUALITY[2:])) == [FLAWS[flaw]]


@pytest.mark.slow
def test_who_does_worse_than_chance_fails() -> None:
    assert "quality/beats-random" in _failed(_checked(_searching("walks-downhill"), 20))


@pytest.mark.slow
@pytest.mark.parametrize("command", [_searching("random-in-disguise"), RANDOM])
def test_random_search_in_disguise_fails(command: str) -> None:
    assert _failed(_checked(command, 20, ("quality/learns",))) == ["quality/learns"]
