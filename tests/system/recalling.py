"""A synthesizer that says in its candidates what it was told of earlier runs: `python recalling.py FILE`."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from neunets.draws import generator
from neunets.spaces import ChainSpace
from neunets.synthesizer import (
    Assessment,
    Budget,
    Candidate,
    Description,
    Event,
    Problem,
    Proposals,
    Proposed,
    Recipe,
    TrialEnded,
    Wait,
    serve,
)


class Recalling:
    def describe(self) -> Description:
        return Description("recalling", "0.0.1", "For tests.", is_deterministic=False)  # it tells its process

    def open(self, problem: Problem, settings: Mapping[str, object], seed: int) -> Run:
        return Run(problem)


class Run:
    """One small network after the other. Its process is killed before the second; a file says that it was."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.proposed, self.ended = 0, 0

    def propose(self, want: int, budget: Budget) -> Proposals | Wait:
        if self.ended < self.proposed:
            return Wait("one after the other")
        if self.proposed == 1 and not (killed := Path(sys.argv[1])).exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        space = ChainSpace(self.problem.input, self.problem.classes, max_flops=100_000)
        graph = space.sample(generator(0, self.proposed))
        return Proposals((Candidate(graph, Recipe(epochs=2.0), labels=self.told() | {"pid": str(os.getpid())}),))

    def told(self) -> dict[str, str]:
        """By data set, the nearest first."""
        return {
            str(row): json.dumps(
                {
                    "classes": experience.classes,
                    "rows": experience.train_rows,
                    "is_own": experience.distance == 0.0,
                    "by": [trial.synthesizer for trial in experience.trials],
                    "values": [trial.metrics[self.problem.metric] for trial in experience.trials],
                    "nodes": [len(trial.graph.nodes) for trial in experience.trials if trial.graph is not None],
                }
            )
            for row, experience in enumerate(self.problem.past())
        }

    def ingest(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Proposed):
                self.proposed += len(event.candidates)
            if isinstance(event, TrialEnded) and not event.will_retry:
                self.ended += 1

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        return Assessment()


if __name__ == "__main__":
    raise SystemExit(serve(Recalling()))
