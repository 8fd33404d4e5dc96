"""A search over rungs as the engine drives it, with results that nobody has trained for."""

from __future__ import annotations

import math
from dataclasses import replace
from enum import Enum

from hypothesis import strategies as st

from neunets.canonical import canonical_hash
from neunets.graph import DataType, Graph, Input
from neunets.synthesizer import (
    Budget,
    Candidate,
    Event,
    Measured,
    Problem,
    Proposals,
    Proposed,
    Rejected,
    TrialEnded,
    TrialStarted,
    TrialState,
    wire,
)
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_hyperband.session import Hyperband, HyperbandRun

__all__ = ["BUDGET", "CALLS", "PIXELS", "SEEDS", "Call", "Drive", "Fate", "driven", "opened", "problem_of"]

PIXELS = Input("image", (16, 16, 1), DataType.UINT8, (73.0,), (90.0,))
BUDGET = Budget(slots=2)
SEEDS = st.integers(0, 2**64 - 1)
ROWS = 10_000


class Fate(Enum):
    """What becomes of a candidate."""

    SUCCEEDS = "succeeds"
    STOPS = "stops"
    FAILS = "fails"
    DIVERGES = "diverges"
    HAS_NO_ROOM = "has no room"
    IS_LOST_FIRST = "is lost first"
    IS_CANCELLED = "is cancelled"
    IS_REJECTED = "is rejected"


# Most candidates succeed, so that there is something to promote.
FATES = st.sampled_from((*(Fate.SUCCEEDS,) * 6, *Fate))
# Of one moment: how many are wanted, for how many of the oldest it comes to an end, how, and whether it is built anew.
Call = tuple[int, int, Fate, bool]
CALLS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4), FATES, st.booleans()), min_size=4, max_size=14)


def problem_of(source: Input = PIXELS, max_params: int | None = None, rows: int = ROWS, **fields: int) -> Problem:
    task = "image-classification" if len(source.shape) == 3 else "sequence-classification"
    return Problem(task, source, 3, rows, 100, max_params, **fields)


def opened(problem: Problem, seed: int = 0, **settings: object) -> HyperbandRun:
    return Hyperband().open(problem, settings, seed)


class Drive:
    """One run. `log`: all its events; `epochs`: how far each network has been trained, by its first candidate."""

    def __init__(self, run: HyperbandRun) -> None:
        self.run = run
        self.log: list[Event] = []
        self.candidates: dict[str, Candidate] = {}
        self.graphs: dict[str, Graph] = {}
        self.begun: dict[str, str] = {}  # candidate → the first one of its network
        self.ended: set[str] = set()  # trials that may be continued
        self.epochs: dict[str, float] = {}

    def ingest(self, *events: Event) -> None:
        self.log += events
        self.run.ingest(events)

    def propose(self, want: int, budget: Budget = BUDGET) -> list[str]:
        """The ids of what is proposed, echoed as the engine does; none where there is nothing to propose."""
        answer = self.run.propose(want, budget)
        if not isinstance(answer, Proposals):
            return []
        names = [self._echoed(candidate) for candidate in answer.candidates]
        self.ingest(Proposed(tuple((name, self.candidates[name]) for name in names)))
        return names

    def start(self, name: str) -> str:
        self.ingest(TrialStarted(name, trial_of(name), 1))
        return trial_of(name)

    def measure(self, name: str, epoch: float, value: float) -> None:
        self.ingest(Measured(trial_of(name), epoch, {"valid_accuracy": value}))

    def end(self, name: str, value: float | None = None, fate: Fate = Fate.SUCCEEDS) -> None:
        """Of a candidate; where no value is given, it hangs on the network and on its epochs."""
        if fate is Fate.IS_REJECTED:
            self.ingest(Rejected(name, (("BAD_CONTINUATION", "recipe", "no checkpoint"),)))
            return
        trial, recipe = self.start(name), self.candidates[name].recipe
        epochs = recipe.epochs or 1.0
        if fate is Fate.IS_LOST_FIRST:
            self.ingest(TrialEnded(name, trial, TrialState.LOST, {}, 1.0, True), TrialStarted(name, trial, 2))
        state = STATES[fate]
        found = self.value(name, epochs) if value is None else value
        metrics = {"valid_accuracy": math.nan if fate is Fate.DIVERGES else found, "epochs": epochs}
        if state in (TrialState.SUCCEEDED, TrialState.STOPPED):
            self.ended.add(trial)
            self.epochs[self.begun[name]] = epochs
        self.ingest(TrialEnded(name, trial, state, metrics, 2.0 * epochs, False))

    def search(self, count: int, budget: Budget = BUDGET) -> list[str]:
        """Proposed one by one, each trained before the next; at most so many."""
        found = list[str]()
        while len(found) < count and (names := self.propose(1, budget)):
            found += names
            self.end(names[0])
        return found

    def value(self, name: str, epochs: float) -> float:
        quality = int(canonical_hash(self.graphs[name])[:8], 16) / 2**32
        return 0.3 + 0.6 * quality * (1.0 - math.exp(-0.5 * epochs))

    def _echoed(self, candidate: Candidate) -> str:
        name = f"c{len(self.candidates) + 1:06d}"
        sent = wire.candidate_to_proto(candidate).SerializeToString()
        parsed = wire.candidate_from_proto(synthesizer_pb2.Candidate.FromString(sent))
        continued = parsed.recipe.resume_trial
        if continued is not None:
            assert continued in self.ended, "it has not ended, or is continued already"
            self.ended.remove(continued)
            before = f"c{continued[1:]}"
            parsed = replace(parsed, graph=self.graphs[before])
            self.begun[name] = self.begun[before]
            assert (parsed.recipe.epochs or 0.0) > self.epochs[self.begun[name]]
        else:
            self.begun[name] = name
        assert parsed.graph is not None
        self.candidates[name], self.graphs[name] = parsed, parsed.graph
        return name


STATES = {
    Fate.SUCCEEDS: TrialState.SUCCEEDED,
    Fate.STOPS: TrialState.STOPPED,
    Fate.FAILS: TrialState.FAILED,
    Fate.DIVERGES: TrialState.SUCCEEDED,
    Fate.HAS_NO_ROOM: TrialState.INFEASIBLE,
    Fate.IS_LOST_FIRST: TrialState.SUCCEEDED,
    Fate.IS_CANCELLED: TrialState.CANCELLED,
}


def trial_of(name: str) -> str:
    return f"t{name[1:]}"


def driven(problem: Problem, seed: int, calls: list[Call], rebuilds: bool = False, **settings: object) -> Drive:
    """A whole history; with `rebuilds` the run is made anew of its log where the calls say so."""
    drive, training = Drive(opened(problem, seed, **settings)), list[str]()
    for want, ends, fate, is_rebuilt in calls:
        training += drive.propose(want)
        for name in training[:ends]:
            drive.end(name, fate=fate)
        training = training[ends:]
        if is_rebuilt and rebuilds:
            drive.run = opened(problem, seed, **settings)
            drive.run.ingest(drive.log)
    return drive
