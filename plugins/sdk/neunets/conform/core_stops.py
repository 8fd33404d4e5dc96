"""Third operation: trials that are to end early, by name and by rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from neunets.conform.bench import Bench
from neunets.conform.check import Check, Level, Skipped, Violation
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["CHECKS"]

ROUNDS, TRIALS, EPOCHS = 3, 3, 3
# Of an answer, what only a plugin with the capability may fill in.
NEEDED: Final[Mapping[str, pb.Capability.ValueType]] = {
    "stop": pb.CAPABILITY_STOP_TRIALS,
    "rules": pb.CAPABILITY_STOP_RULES,
}


def _assessed(bench: Bench) -> Iterator[tuple[Sequence[str], pb.AssessResponse]]:
    """A short run that is assessed after each validation: what trains, and the answer."""
    run = bench.opened()
    yield (), run.assess(())
    for _ in range(ROUNDS):
        trials = run.begun(TRIALS)
        for epoch in range(1, EPOCHS + 1):
            for trial in trials:
                run.log.measured(trial, float(epoch))
            run.ingest()
            yield trials, run.assess(trials)
        run.finish(len(trials))
        yield (), run.assess(())


def _running(bench: Bench) -> None:
    for trials, answer in _assessed(bench):
        for stop in answer.stop:
            if stop.trial not in trials:
                found = ", ".join(trials) or "nothing"
                raise Violation(f"Assess stops {stop.trial!r}, which does not train: {found} does")


def _declared(bench: Bench) -> None:
    undeclared = {field: capability for field, capability in NEEDED.items() if not bench.has(capability)}
    if not undeclared:
        return
    for _, answer in _assessed(bench):
        for field, capability in undeclared.items():
            if getattr(answer, field):
                name = pb.Capability.Name(capability).removeprefix("CAPABILITY_")
                raise Violation(f"Assess answered {field}, but {name} is not declared")


def _rules(bench: Bench) -> None:
    count = 0
    for _, answer in _assessed(bench):
        for rule in answer.rules:
            count += 1
            fault = _fault(rule)
            if fault:
                raise Violation(f"a stop rule {fault}")
    if not count:
        raise Skipped("no assessment has a rule")


def _fault(rule: pb.StopRule) -> str:
    if not rule.metric:
        return "names no metric"
    if not (math.isfinite(rule.epoch) and rule.epoch >= 0.0):
        return f"of {rule.metric} begins after {rule.epoch:g} epochs"
    if not math.isfinite(rule.at_least):
        return f"of {rule.metric} asks for at least {rule.at_least:g}"
    return "" if rule.reason else f"of {rule.metric} has no reason"


CHECKS: Final = (
    Check("core/assess-stops", "Assess stops none but running trials.", Level.CORE, _running),
    Check(
        "core/stop-declared",
        "A plugin that stops trials declares STOP_TRIALS, one that gives rules for it STOP_RULES.",
        Level.CORE,
        _declared,
    ),
    Check(
        "core/stop-rules",
        "A stop rule has a metric, a finite epoch of at least 0, a finite bound and a reason.",
        Level.CORE,
        _rules,
        needs=pb.CAPABILITY_STOP_RULES,
    ),
)
