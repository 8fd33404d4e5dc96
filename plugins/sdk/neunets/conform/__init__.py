"""The conformance kit: plays the engine against a plugin of any language and tests every law of the contract."""

from neunets.conform.check import Check, Level, NotStarted, Outcome, Result
from neunets.conform.kit import Request, conform
from neunets.conform.registry import CHECKS, table
from neunets.conform.report import Report, Verdict, as_json, as_junit, as_text

__all__ = [
    "CHECKS",
    "Check",
    "Level",
    "NotStarted",
    "Outcome",
    "Report",
    "Request",
    "Result",
    "Verdict",
    "as_json",
    "as_junit",
    "as_text",
    "conform",
    "table",
]
