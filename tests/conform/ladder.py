"""A small conformant synthesizer: candidate k is a convolution of k + 1 channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from neunets.graph import Graph, Node
from neunets.synthesizer import (
    Assessment,
    Budget,
    Candidate,
    Description,
    Event,
    Exhausted,
    Problem,
    Proposals,
    Proposed,
    Rejected,
    TrialEnded,
    Wait,
)

__all__ = ["Ladder", "LadderRun", "rung"]

SETTINGS: Final[Mapping[str, object]] = {
    "type": "object",
    "properties": {"first": {"type": "integer", "minimum": 1, "default": 1}},
}


def rung(problem: Problem, channels: int) -> Candidate:
    nodes = (
        Node("conv", "conv", (problem.input.name,), {"channels": channels, "kernel": 3}),
        Node("relu", "activation", ("conv",), {"function": "relu"}),
        Node("pool", "global_pool", ("relu",), {"function": "avg"}),
        Node("logits", "linear", ("pool",), {"units": problem.classes}),
    )
    return Candidate(Graph(problem.input, nodes, "logits"), rationale=f"{channels} channels")


@dataclass(slots=True)
class LadderRun:
    problem: Problem
    seed: int
    ladder: Ladder
    count: int = 0
    events: int = 0
    pending: int = 0

    def propose(self, want: int, budget: Budget) -> Proposals | Wait | Exhausted:
        other = self.ladder.answers(self)
        if other is not None:
            return other
        first = self.count + self.ladder.skip(self)
        numbers = range(first, first + want)
        return Proposals(tuple(self.ladder.alter(k, rung(self.problem, k + 1), self.problem) for k in numbers))

    def ingest(self, events: Sequence[Event]) -> None:
        self.events += len(events)
        for event in events:
            if isinstance(event, Proposed):
                self.count += len(event.candidates)
                self.pending += len(event.candidates)
            elif isinstance(event, Rejected) or (isinstance(event, TrialEnded) and not event.will_retry):
                self.pending -= 1

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        return Assessment(progress=min(1.0, self.count / 100), reason=f"{self.count} candidates")


@dataclass(slots=True)
class Ladder:
    """`alter(k, candidate, problem)`, `skip(run)` and `answers(run)` are where something else may come in."""

    alter: Callable[[int, Candidate, Problem], Candidate] = lambda k, candidate, problem: candidate
    skip: Callable[[LadderRun], int] = lambda run: 0
    answers: Callable[[LadderRun], Wait | Exhausted | None] = lambda run: None
    runs: list[LadderRun] = field(default_factory=list)

    def describe(self) -> Description:
        text = "One convolution, and one channel more each time."
        return replace(Description("ladder", "1.0.0", text), tasks=("image-classification",), settings=SETTINGS)

    def open(self, problem: Problem, settings: Mapping[str, object], seed: int) -> LadderRun:
        self.runs.append(LadderRun(problem, seed, self))
        return self.runs[-1]
