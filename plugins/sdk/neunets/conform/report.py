"""What came out, for people, for programs and for CI servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

from neunets.conform.check import Check, Level, Outcome, Result
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["Report", "Verdict", "as_conclusion", "as_entry", "as_json", "as_junit", "as_text"]

PROTOCOL_MAJOR: Final = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one check, of all repetitions: it has failed if one of them has."""

    check: Check
    results: tuple[Result, ...]

    @property
    def outcome(self) -> Outcome:
        outcomes = [result.outcome for result in self.results]
        for outcome in (Outcome.FAILED, Outcome.PASSED):
            if outcome in outcomes:
                return outcome
        return Outcome.SKIPPED

    @property
    def telling(self) -> Result:
        """The first result with this outcome."""
        return next(result for result in self.results if result.outcome is self.outcome)

    @property
    def failures(self) -> int:
        return sum(result.outcome is Outcome.FAILED for result in self.results)

    @property
    def reason(self) -> str:
        often = (
            f"{self.failures} of {len(self.results)} repetitions: " if self.failures and len(self.results) > 1 else ""
        )
        return often + self.telling.reason

    @property
    def seconds(self) -> float:
        return sum(result.seconds for result in self.results)


@dataclass(frozen=True, slots=True)
class Report:
    """Of one plugin. `level`: None where not all checks of one were made."""

    description: pb.DescribeResponse
    level: Level | None
    repeat: int
    results: tuple[Result, ...]
    seconds: float

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        found: dict[str, list[Result]] = {}
        for result in self.results:
            found.setdefault(result.check.id, []).append(result)
        return tuple(Verdict(results[0].check, tuple(results)) for results in found.values())

    @property
    def failed(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if verdict.outcome is Outcome.FAILED)

    @property
    def causes(self) -> tuple[tuple[Verdict, ...], ...]:
        """Those that failed, by cause: what fails most checks first, and first of each what failed first."""
        found: dict[str, list[Verdict]] = {}
        for verdict in self.failed:
            found.setdefault(verdict.telling.cause or verdict.check.id, []).append(verdict)
        return tuple(sorted(map(tuple, found.values()), key=len, reverse=True))

    @property
    def skipped(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if verdict.outcome is Outcome.SKIPPED)

    @property
    def is_conformant(self) -> bool:
        """Skipped is conformant, failed is not."""
        return not self.failed

    @property
    def protocol(self) -> str:
        return f"{PROTOCOL_MAJOR}.{self.description.protocol_minor}"

    @property
    def levels(self) -> str:
        """As "core+recovery"; how many checks were made, where they make no level."""
        if self.level is None:
            return f"{len(self.verdicts)} check{'s' * (len(self.verdicts) != 1)} alone"
        return "+".join(level.value for level in Level if self.level.contains(level))

    @property
    def summary(self) -> str:
        """The result in one line."""
        if self.failed:
            told = ", ".join(_counted(verdicts) for verdicts in self.causes)
            untried = sum(verdict.reason.startswith("not tried") for verdict in self.skipped)
            rest = f"; {untried} were not tried" if untried else ""
            return f"not conformant: {len(self.failed)} of {len(self.verdicts)} checks failed: {told}{rest}"
        reasons = "; ".join(dict.fromkeys(verdict.reason for verdict in self.skipped))
        skipped = f"skipped: {len(self.skipped)}" + (f" ({reasons})" if reasons else "")
        return f"conformant: {self.levels}, protocol {self.protocol}, {skipped}"


def as_text(report: Report) -> str:
    """What failed, with the exchange that shows it; the result line is the last one."""
    return "\n".join([*(line for verdicts in report.causes for line in _cause(verdicts)), report.summary])


def _cause(verdicts: tuple[Verdict, ...]) -> Iterator[str]:
    """The first failure in full, and who else fails of the same; JSON and JUnit have all in full."""
    if len(verdicts) > 1:
        yield f"{verdicts[0].telling.cause}, of which {len(verdicts)} checks failed; the first of them:"
    yield from _failure(verdicts[0])
    if len(verdicts) > 1:
        yield f"  the others: {', '.join(verdict.check.id for verdict in verdicts[1:])}"
        yield ""


def _counted(verdicts: tuple[Verdict, ...]) -> str:
    first = verdicts[0].check.id
    return f"{first} and {len(verdicts) - 1} more ({verdicts[0].telling.cause})" if len(verdicts) > 1 else first


def _failure(verdict: Verdict) -> Iterator[str]:
    yield f"{verdict.check.id}: {verdict.reason}"
    yield f"  law: {verdict.check.law}"
    for line in verdict.telling.exchange:
        yield f"  {line}"
    for line in verdict.telling.output:
        yield f"  plugin | {line}"
    yield ""


def as_json(report: Report) -> str:
    checks = [as_entry(verdict.telling) | _often(verdict) for verdict in report.verdicts]
    return json.dumps(as_conclusion(report) | {"checks": checks}, indent=1)


def as_conclusion(report: Report) -> dict[str, object]:
    """The report without its checks."""
    description = report.description
    passed = len(report.verdicts) - len(report.failed) - len(report.skipped)
    return {
        "plugin": {"name": description.name, "version": description.version},
        "protocol": report.protocol,
        "level": report.levels,
        "repeat": report.repeat,
        "conformant": report.is_conformant,
        "summary": report.summary,
        "counts": {
            "checks": len(report.verdicts),
            "passed": passed,
            "failed": len(report.failed),
            "skipped": len(report.skipped),
        },
        "failed": [verdict.check.id for verdict in report.failed],
        "skipped": [verdict.check.id for verdict in report.skipped],
        "seconds": round(report.seconds, 3),
    }


def as_entry(result: Result) -> dict[str, object]:
    """One check."""
    return {
        "id": result.check.id,
        "level": result.check.level.value,
        "law": result.check.law,
        "outcome": result.outcome.value,
        "reason": result.reason,
        "seconds": round(result.seconds, 3),
        "exchange": result.exchange,
        "output": result.output,
    }


def _often(verdict: Verdict) -> dict[str, object]:
    """What all repetitions say."""
    seconds = [round(result.seconds, 3) for result in verdict.results]
    return {"reason": verdict.reason, "failures": verdict.failures, "seconds": seconds}


def as_junit(report: Report) -> str:
    """One test case a check."""
    suite = ElementTree.Element(
        "testsuite",
        name=f"neunets-conform {report.description.name} {report.description.version}",
        tests=str(len(report.verdicts)),
        failures=str(len(report.failed)),
        errors="0",
        skipped=str(len(report.skipped)),
        time=f"{report.seconds:.3f}",
    )
    for verdict in report.verdicts:
        level, _, name = verdict.check.id.partition("/")
        case = ElementTree.SubElement(suite, "testcase", classname=level, name=name, time=f"{verdict.seconds:.3f}")
        if verdict.outcome is Outcome.SKIPPED:
            ElementTree.SubElement(case, "skipped", message=_printable(verdict.reason))
        if verdict.outcome is Outcome.FAILED:
            failure = ElementTree.SubElement(case, "failure", message=_printable(verdict.reason))
            failure.text = _printable("\n".join(_failure(verdict)))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text: str) -> str:
    """XML has no room for control characters."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "�" for letter in text)
