"""Each flaw is found by the check that looks for it, and by no other."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from conform import searching
from conform.flaws import FLAWS, ODDITIES
from neunets.conform import CHECKS, Level, Outcome, Report, Request, conform

TESTS = Path(__file__).resolve().parents[1]
LONG = ("recovery/long-replay", "recovery/memory")
RECOVERED = tuple(check.id for check in CHECKS if check.level is Level.RECOVERY and check.id not in LONG)
# Their checks make no call of the contract.
WITHOUT_CALLS = {"nameless-health", "no-reflection", "never-renews"}
# They wait, or their neighbours in the table stand for them in the short suite.
SLOW = {
    "thinks",
    "declares-much",
    "describes-slowly",
    "never-renews",
    "bad-name",
    "no-batch",
    "unknown-op",
    "registers-another",
    "ingests-without-run",
    "assesses-without-run",
    "assesses-at-any-seq",
    "exceeds-beyond-batch",
    "closes-once",
    "takes-any-task",
    "fails-in-a-crowd",
    "no-first-verdict",
    "refuses-overlap",
    "unknown-parent",
    "heirs-of-the-living",
    "many-labels",
    "continues-the-living",
    "continues-twice",
    "no-larger-total",
    "ends-early",
    "undeclared-rules",
    "rule-of-no-number",
    "rule-of-the-past",
    "rule-without-reason",
    "fails-on-retry",
    "fails-on-rejection",
}
CORE = [name for name, flaw in FLAWS.items() if any("core" in id_ for id_ in flaw.found_by)]
LINEAGES = tuple(check.id for check in CHECKS if check.id.startswith("core/lineage"))
CONTINUATIONS = tuple(check.id for check in CHECKS if check.id.startswith("core/continuation"))
STOPS = tuple(check.id for check in CHECKS if check.id.startswith(("core/assess-stops", "core/stop")))
OTHERS = [name for name, flaw in FLAWS.items() if any("recovery" in id_ for id_ in flaw.found_by)]


def _marked(names: Iterable[str]) -> list[object]:
    return [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in names]


def checked(flaw: str, only: tuple[str, ...] = ()) -> Report:
    command = f"{sys.executable} -m conform.broken --flaw {flaw}"
    return conform(Request(command, directory=TESTS, only=only, pause_s=2.0))


def failed(report: Report) -> tuple[str, ...]:
    return tuple(verdict.check.id for verdict in report.failed)


@pytest.mark.parametrize("flaw", _marked(CORE))
def test_a_flaw_is_found_by_its_check_and_by_no_other(flaw: str) -> None:
    report = checked(flaw)
    assert failed(report) == FLAWS[flaw].found_by, [verdict.reason for verdict in report.failed]
    assert flaw in WITHOUT_CALLS or all(verdict.telling.exchange for verdict in report.failed)


@pytest.mark.slow
@pytest.mark.parametrize("flaw", OTHERS)
def test_a_flaw_of_recovery_is_found_by_its_check_and_by_no_other(flaw: str) -> None:
    found_by = FLAWS[flaw].found_by
    report = checked(flaw, found_by if set(found_by) & set(LONG) else RECOVERED)
    assert failed(report) == found_by, [verdict.reason for verdict in report.failed]


@pytest.mark.parametrize("oddity", _marked(ODDITIES))
def test_what_the_contract_allows_is_conformant(oddity: str) -> None:
    report = checked(oddity)
    assert report.is_conformant, [verdict.reason for verdict in report.failed]


@pytest.mark.slow
@pytest.mark.parametrize("oddity", ODDITIES)
def test_what_the_contract_allows_recovers(oddity: str) -> None:
    report = checked(oddity, RECOVERED)
    assert report.is_conformant, [verdict.reason for verdict in report.failed]
    skipped = {"recovery/checkpoint", "recovery/bad-checkpoint"} if oddity != "keeps-checkpoints" else set()
    assert {verdict.check.id for verdict in report.skipped} == skipped


@pytest.mark.parametrize(
    ("oddity", "checks"), [("evolves", LINEAGES), ("climbs", CONTINUATIONS), ("ends-early", STOPS)]
)
def test_what_a_plugin_declares_is_looked_at(oddity: str, checks: tuple[str, ...]) -> None:
    outcomes = {verdict.check.id: verdict.outcome for verdict in checked(oddity, checks).verdicts}
    assert outcomes == dict.fromkeys(checks, Outcome.PASSED)


def test_a_plugin_that_declares_what_it_never_does_is_conformant() -> None:
    checks = (*LINEAGES, *CONTINUATIONS, *STOPS)
    report = checked("declares-much", checks)
    assert report.is_conformant
    assert {verdict.reason for verdict in report.skipped} == {
        "no candidate has a lineage",
        "no candidate continues a trial",
        "no assessment has a rule",
    }
    passed = {verdict.check.id for verdict in report.verdicts if verdict.outcome is Outcome.PASSED}
    assert passed == {
        "core/lineage-declared",
        "core/continuation-declared",
        "core/assess-stops",
        "core/stop-declared",
    }


@pytest.mark.slow
@pytest.mark.parametrize("oddity", ["evolves", "climbs"])
def test_a_plugin_whose_candidates_come_from_others_endures(oddity: str) -> None:
    report = checked(oddity, LONG)
    assert report.is_conformant, [verdict.reason for verdict in report.failed]
    assert not report.skipped


def test_every_check_has_a_flaw_that_it_finds() -> None:
    found = {id_ for flaw in FLAWS.values() for id_ in flaw.found_by} | set(searching.FLAWS.values())
    declared_only = {"core/injected", "core/budget-changed"}
    assert {check.id for check in CHECKS} - found == declared_only
