"""Synthesizers of known behaviour, as processes: `python synthesizers.py BEHAVIOUR`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event as Never
from typing import Final

from fakes import network
from neunets.graph import Graph, Node
from neunets.morphisms import Widen
from neunets.shapes import infer_shapes
from neunets.synthesizer import (
    Assessment,
    Budget,
    Candidate,
    Description,
    Event,
    Exhausted,
    Measured,
    Problem,
    Proposals,
    Proposed,
    Recipe,
    Rejected,
    StopRule,
    StopTrial,
    TrialEnded,
    Verdict,
    Wait,
    serve,
)

QUICK: Final = Recipe(epochs=2.0, learning_rate=0.02)


class Run:
    """Proposes networks of growing width; a fold over its events. The behaviours differ from it in one place."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.proposed = 0
        self.ended = 0
        self.told: list[str] = []

    def good(self, number: int) -> Candidate:
        return Candidate(network(self.problem.input, self.problem.classes, 8 + number), QUICK)

    def propose(self, want: int, budget: Budget) -> Proposals | Wait | Exhausted:
        return Proposals(tuple(self.good(self.proposed + index) for index in range(want)))

    def ingest(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Proposed):
                self.proposed += len(event.candidates)
            if isinstance(event, TrialEnded) and not event.will_retry:
                self.ended += 1
            if isinstance(event, Rejected):
                self.told.append(event.why[0][0])

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        return Assessment(reason=",".join(self.told))


class Garbage(Run):
    """Every kind of nonsense once, among good candidates."""

    def propose(self, want: int, budget: Budget) -> Proposals:
        nonsense = [self.good(0).graph, *self._nonsense()]
        candidates = [Candidate(graph, QUICK) for graph in nonsense] + [
            replace(self.good(1), recipe=Recipe(learning_rate=float("nan")))
        ]
        number = self.proposed
        return Proposals((candidates[number] if number < len(candidates) else self.good(number),))

    def _nonsense(self) -> list[Graph]:
        given, classes = self.problem.input, self.problem.classes
        good = network(given, classes, 8)
        unknown = replace(good, nodes=(Node("odd", "warp_drive", (given.name,)), *good.nodes))
        cycle = replace(good, nodes=(Node("a", "identity", ("b",)), Node("b", "identity", ("a",)), *good.nodes))
        misfit = network(given, classes + 1, 8)
        huge = network(given, classes, 15_000_000)
        return [unknown, cycle, misfit, huge, good]


class Stubborn(Run):
    """Always the same network."""

    def good(self, number: int) -> Candidate:
        return super().good(0)


class Small(Run):
    """Has two networks, and then no more."""

    def propose(self, want: int, budget: Budget) -> Proposals | Exhausted:
        if self.proposed >= 2:
            return Exhausted("two are enough")
        return Proposals(tuple(self.good(self.proposed + index) for index in range(min(want, 2 - self.proposed))))


class Patient(Run):
    """One network at a time: asks to wait for its result, and now and then for time."""

    asked = 0

    def propose(self, want: int, budget: Budget) -> Proposals | Wait:
        self.asked += 1
        if self.ended < self.proposed:
            return Wait("one after the other")
        return Wait("thinking", after_s=0.01) if self.asked % 3 == 0 else Proposals((self.good(self.proposed),))


class Content(Run):
    """Is satisfied with the first result."""

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        return Assessment(Verdict.CONVERGED if self.ended else Verdict.CONTINUE, reason="good enough")


class Raising(Run):
    """A bug in Propose."""

    def propose(self, want: int, budget: Budget) -> Proposals:
        raise KeyError("a bug")


class Dying(Run):
    """Its process ends within Propose the first two times; a file counts them."""

    def propose(self, want: int, budget: Budget) -> Proposals | Wait | Exhausted:
        counter = Path(sys.argv[2])
        deaths = int(counter.read_text()) if counter.exists() else 0
        if deaths < 2:
            counter.write_text(str(deaths + 1))
            os._exit(9)
        return super().propose(want, budget)


class Reckless(Run):
    """Rates that a step survives, but no training."""

    def good(self, number: int) -> Candidate:
        return replace(super().good(number), recipe=Recipe(epochs=0.01, learning_rate=100.0, label_smoothing=0.0))


class Speechless(Run):
    """Never says how it stands."""

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        raise ValueError("no idea")


class Descending(Run):
    """A first network, then one child after the other of the newest that has ended, each wider by two units."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.units: dict[str, int] = {}
        self.heir = ""

    def propose(self, want: int, budget: Budget) -> Proposals | Wait:
        if not self.proposed:
            return Proposals((self.good(0),))
        if self.ended < self.proposed:
            return Wait("a child comes after its parent")
        lineage = (Widen("hidden", self.units[self.heir] + 2, shares=0.5),)
        return Proposals((Candidate(None, QUICK, parents=(self.heir,), lineage=lineage),))

    def ingest(self, events: Sequence[Event]) -> None:
        super().ingest(events)
        for event in events:
            if isinstance(event, Proposed):
                graphs = {name: candidate.graph for name, candidate in event.candidates}
                self.units |= {name: infer_shapes(graph)["hidden"][0] for name, graph in graphs.items() if graph}
            if isinstance(event, TrialEnded):
                self.heir = event.candidate


class Climbing(Run):
    """Three networks on the first rung; the best of those that have ended goes on to the second, then to the third."""

    RUNGS: Final = (1.0, 3.0, 9.0)
    WIDTH: Final = 3

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.results: dict[str, float] = {}

    def good(self, number: int) -> Candidate:
        recipe = replace(QUICK, epochs=self.RUNGS[0], schedule="constant", averaging=0.3)
        return replace(super().good(number), recipe=recipe)

    def propose(self, want: int, budget: Budget) -> Proposals | Wait | Exhausted:
        if self.proposed < self.WIDTH:
            return super().propose(min(want, self.WIDTH - self.proposed), budget)
        rung = self.proposed - self.WIDTH + 1
        if rung == len(self.RUNGS):
            return Exhausted("the last rung is reached")
        if self.ended < self.proposed:
            return Wait("for the rung below")
        best = list(self.results)[-1] if rung > 1 else max(sorted(self.results), key=lambda trial: self.results[trial])
        return Proposals((Candidate(None, Recipe(epochs=self.RUNGS[rung], resume_trial=best)),))

    def ingest(self, events: Sequence[Event]) -> None:
        super().ingest(events)
        for event in events:
            if isinstance(event, TrialEnded) and not event.will_retry:
                self.results[event.trial] = event.metrics["valid_accuracy"]


class Lasting(Run):
    """Trainings without an end, for others to stop."""

    def good(self, number: int) -> Candidate:
        return replace(super().good(number), recipe=replace(QUICK, epochs=1e5))


class Impatient(Lasting):
    """Stops whatever was validated."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.validated = set[str]()

    def ingest(self, events: Sequence[Event]) -> None:
        super().ingest(events)
        self.validated |= {event.trial for event in events if isinstance(event, Measured)}

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        stopped = (StopTrial(trial, "seen enough", 0.5) for trial in running if trial in self.validated)
        return Assessment(stop=tuple(stopped))


class Ruling(Lasting):
    """Nothing is good enough for its rule."""

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        return Assessment(rules=(StopRule("valid_accuracy", 2.0, 1.5, "nobody gets on"),))


class Waiting(Run):
    """Leaves the race to others."""

    def propose(self, want: int, budget: Budget) -> Wait:
        return Wait("for somebody else", after_s=0.2)


class Hanging(Run):
    """Proposes one network, and never answers again."""

    def propose(self, want: int, budget: Budget) -> Proposals:
        if self.proposed:
            Never().wait()
        return Proposals((self.good(0),))


class Deaf(Run):
    """Never answers."""

    def propose(self, want: int, budget: Budget) -> Proposals:
        Never().wait()
        raise AssertionError


class Poisoned(Run):
    """Its process ends whenever it learns of a result."""

    def ingest(self, events: Sequence[Event]) -> None:
        super().ingest(events)
        if self.ended:
            print("what a result!", flush=True)
            os._exit(3)


BEHAVIOURS: Final[Mapping[str, Callable[[Problem], Run]]] = {
    "good": Run,
    "garbage": Garbage,
    "stubborn": Stubborn,
    "small": Small,
    "patient": Patient,
    "content": Content,
    "raising": Raising,
    "faulty": Raising,
    "dying": Dying,
    "reckless": Reckless,
    "speechless": Speechless,
    "descending": Descending,
    "climbing": Climbing,
    "impatient": Impatient,
    "ruling": Ruling,
    "waiting": Waiting,
    "hanging": Hanging,
    "deaf": Deaf,
    "poisoned": Poisoned,
}
DECLARED: Final[Mapping[str, Mapping[str, bool]]] = {
    "climbing": {"continues_trials": True},
    "impatient": {"stops_trials": True},
    "ruling": {"gives_rules": True},
}
SETTINGS: Final = {
    "type": "object",
    "properties": {"patience": {"type": "integer", "minimum": 1}},
    "additionalProperties": False,
}


class Behaviour:
    def __init__(self, name: str) -> None:
        self._name = name

    def describe(self) -> Description:
        declared = DECLARED.get(self._name, {})
        return Description(self._name, "0.0.1", "For tests.", settings=SETTINGS, propose_p99_s=2.0, **declared)

    def open(self, problem: Problem, settings: Mapping[str, object], seed: int) -> Run:
        return BEHAVIOURS[self._name](problem)


if __name__ == "__main__":
    print(f"{sys.argv[1]} is here")
    raise SystemExit(serve(Behaviour(sys.argv[1])))
