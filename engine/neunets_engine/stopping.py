"""Trials that end early: the stop rules of each run's synthesizer, and who is asked after every validation."""

from __future__ import annotations

from collections.abc import Sequence

from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.store import DEFAULT_METRIC

__all__ = ["Stops"]


class Stops:
    """Of the searches that go on. Nothing is kept: after a restart the next assessment says it again."""

    def __init__(self) -> None:
        self._rules: dict[str, Sequence[synthesizer_pb2.StopRule]] = {}
        self._watchers: set[str] = set()
        self._rulers: set[str] = set()

    def open(self, run_id: str, capabilities: Sequence[synthesizer_pb2.Capability.ValueType]) -> None:
        """The search of a run begins, or goes on; `capabilities`: of its synthesizer."""
        self._rules[run_id] = ()
        if synthesizer_pb2.CAPABILITY_STOP_TRIALS in capabilities:
            self._watchers.add(run_id)
        if synthesizer_pb2.CAPABILITY_STOP_RULES in capabilities:
            self._rulers.add(run_id)

    def close(self, run_id: str) -> None:
        """The search is over."""
        self._rules.pop(run_id, None)
        self._watchers.discard(run_id)
        self._rulers.discard(run_id)

    def rule(self, run_id: str, rules: Sequence[synthesizer_pb2.StopRule]) -> None:
        """In place of those before."""
        if run_id in self._rules:
            self._rules[run_id] = tuple(rules)

    def broken(self, run_id: str, measured: synthesizer_pb2.Measured) -> str:
        """Why the measured trial is to finish; empty where it may go on."""
        for rule in self._rules.get(run_id, ()):
            value = measured.metrics.get(rule.metric)
            if value is not None and measured.epoch >= rule.epoch and not value >= rule.at_least:
                told = f"{rule.metric} {value:.3f} after {measured.epoch:.1f} epochs, {rule.at_least:.3f} is asked for"
                return f"{told}: {rule.reason}" if rule.reason else told
        return ""

    def is_watched(self, run_id: str, measured: synthesizer_pb2.Measured) -> bool:
        """Whether the run's synthesizer is asked about this measurement, a validation: who has rules gives them."""
        is_asked = run_id in self._watchers or (run_id in self._rulers and not self._rules[run_id])
        return is_asked and DEFAULT_METRIC in measured.metrics
