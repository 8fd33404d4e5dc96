"""`neunets-conform`: the kit on the command line."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from neunets.conform.check import Level, NotStarted, Outcome, Result
from neunets.conform.kit import PAUSE_S, RUNS, Request, conform
from neunets.conform.registry import CHECKS, table
from neunets.conform.report import Report, as_conclusion, as_entry, as_json, as_junit, as_text
from neunets.errors import InvalidRequest

__all__ = ["main"]

CONFORMANT, NOT_CONFORMANT, UNUSABLE = 0, 1, 2
MARKS: Final = {Outcome.PASSED: "ok", Outcome.FAILED: "FAILED", Outcome.SKIPPED: "skipped"}


def main(arguments: Sequence[str] | None = None) -> int:
    """0: conformant, 1: not, 2: wrong usage, or the plugin could not be started."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.list:
        for id_, level, law in table():
            print(f"{id_:32}{level:10}{law}")
        return CONFORMANT
    if bool(given.command) == bool(given.endpoint):
        parser.error("one of --command and --endpoint is needed")
    unknown = sorted(set(given.only) - {check.id for check in CHECKS})
    if unknown:
        parser.error(f"there is no check {unknown[0]!r}: --list has all of them")
    if given.repeat < 1 or given.runs < 1 or given.pause_s <= 0:
        parser.error("--repeat and --runs are 1 at least, --pause-s is more than 0")
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # which ends the plugin, too
    try:
        report = conform(_request(given))
    except (NotStarted, InvalidRequest) as error:
        print(error, file=sys.stderr)
        return UNUSABLE
    except Exception:
        traceback.print_exc()  # a fault of the kit says nothing about the plugin
        return UNUSABLE
    _write(report, given)
    return CONFORMANT if report.is_conformant else NOT_CONFORMANT


def _write(report: Report, given: argparse.Namespace) -> None:
    if given.json:
        given.json.write_text(as_json(report) + "\n")
    if given.junit:
        given.junit.write_text(as_junit(report))
    print(json.dumps(as_conclusion(report)) if given.stream else as_text(report), flush=True)


def _request(given: argparse.Namespace) -> Request:
    return Request(
        command=given.command,
        endpoint=given.endpoint,
        level=Level(given.level),
        repeat=given.repeat,
        seed=given.seed,
        only=tuple(given.only),
        pause_s=given.pause_s,
        runs=given.runs,
        directory=given.directory,
        tell=_stream if given.stream else _tell,
    )


def _tell(result: Result) -> None:
    """Progress, beside the report."""
    print(f"{MARKS[result.outcome]:8}{result.check.id:32}{result.seconds:6.2f} s  {result.reason}", file=sys.stderr)


def _stream(result: Result) -> None:
    print(json.dumps(as_entry(result)), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="neunets-conform", description="Play the engine and test a plugin.")
    parser.add_argument("--command", default="", help="starts the plugin, as the engine would")
    parser.add_argument("--endpoint", default="", help="where a plugin listens already (unix:/… or HOST:PORT)")
    parser.add_argument("--level", choices=[level.value for level in Level], default=Level.CORE.value)
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="every repetition has to pass")
    parser.add_argument("--seed", type=int, default=0, help="of the runs' seeds and the simulated results")
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="these checks, of whatever level")
    parser.add_argument("--pause-s", type=float, default=PAUSE_S, help="of the plugin that is stopped and continued")
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help="in virtual time, for the level quality")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="where the command runs")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="the report as JUnit XML")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the report as JSON")
    parser.add_argument("--stream", action="store_true", help="a line of JSON a check, and one for the result")
    parser.add_argument("--list", action="store_true", help="all checks with the laws they test")
    return parser
