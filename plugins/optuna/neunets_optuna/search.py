"""A study of Optuna as a synthesizer: what it proposes follows from the seed and the events alone."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import optuna
from optuna.study import Study
from optuna.trial import Trial, TrialState

from neunets.canonical import canonical_hash
from neunets.errors import UnsupportedProblem
from neunets.sentences import sentence
from neunets.spaces import Configuration, Designs, Parameters, Value
from neunets.synthesizer import (
    Assessment,
    Budget,
    Candidate,
    Description,
    Event,
    Exhausted,
    Injected,
    Problem,
    Proposals,
    Proposed,
    Rejected,
    TrialEnded,
)
from neunets_optuna.settings import SAMPLERS, SCHEMA, Settings, settings_of

__all__ = ["OptunaSearch", "Run"]

# Asked for one candidate, before nothing counts as new.
ASKS: Final = 20
SEEDS: Final = 1 << 32
# The label of a candidate that says after how many events, and by how many asks, it was found.
PLACE: Final = "asked"


class OptunaSearch:
    def describe(self) -> Description:
        return Description(
            "optuna",
            "0.1.0",
            "Any sampler of Optuna over the spaces of the SDK: TPE, Gaussian processes, CMA-ES, NSGA-II.",
            settings=SCHEMA,
            hears_injected=True,
            propose_p99_s=20.0,
        )

    def open(self, problem: Problem, settings: Mapping[str, object], seed: int) -> Run:
        return Run(problem, settings_of(settings), seed)


class Run:
    """A fold over the events, with a study beside it that has been asked and told the same, in the same order.

    Samplers leave more on a trial than its values (generations, states of optimizers). So a candidate's label says
    after how many events it was asked for, and by how many asks: a replay asks again at that place.
    """

    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None:
        """Raises: UnsupportedProblem, which names the smallest bound that could be kept, or a missing package."""
        self._problem, self._settings, self._seed = problem, settings, seed
        self._designs = self._within(problem.max_flops)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._events: list[Event] = []
        self._known: set[str] = set()
        self._values: list[float] = []
        self._study, self._numbers = self._new_study(), dict[str, int]()
        # Asked for since the last event; what is not echoed was never asked for.
        self._pending: list[tuple[str, int]] = []  # (place, number in the study)
        self._is_behind = False

    def propose(self, want: int, budget: Budget) -> Proposals | Exhausted:
        if self._is_behind or self._pending:
            self._replay()
        designs = self._within(budget.most_flops(self._settings.passes, self._problem))
        known, found = set(self._known), list[Candidate]()
        for _ in range(want):
            candidate = self._asked(designs, known)
            if candidate is None:
                break
            found.append(candidate)
        return Proposals(tuple(found)) if found else Exhausted("the sampler asks for nothing that is new")

    def ingest(self, events: Sequence[Event]) -> None:
        for event in events:
            self._events.append(event)
            match event:
                case Proposed(candidates):
                    self._known.update(canonical_hash(each.graph) for _, each in candidates if each.graph is not None)
                    self._recognise(candidates)
                case Injected(_, candidate) if candidate.graph is not None:
                    self._known.add(canonical_hash(candidate.graph))
                case TrialEnded(will_retry=False, metrics=metrics):
                    value = metrics.get(self._problem.metric, math.nan)
                    self._values += [value] if math.isfinite(value) else []
            if not self._is_behind:
                self._tell(event)

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        if not self._values:
            return Assessment(reason="no network is trained yet")
        return Assessment(reason=f"best of {len(self._values)} results {max(self._values):.3f}")

    def _asked(self, designs: Designs, known: set[str]) -> Candidate | None:
        """A network that is none of `known`, to which it is added; None: many asks have brought none."""
        for asks in range(1, ASKS + 1):
            trial = self._study.ask()
            chosen = suggested(trial, designs.parameters)
            graph = designs.graph(chosen)
            digest = canonical_hash(graph)
            if digest not in known:
                known.add(digest)
                place = f"{len(self._events)} {asks}"
                self._pending.append((place, trial.number))
                told = f"{self._settings.sampler}, after {len(self._values)} results: {designs.told(chosen)}"
                rationale = sentence(told)
                labels = {**designs.labels(chosen), PLACE: place}
                return Candidate(graph, designs.recipe(chosen), rationale, labels=labels)
            self._study.tell(trial, state=TrialState.FAIL)
        return None

    def _recognise(self, candidates: Sequence[tuple[str, Candidate]]) -> None:
        """As those that were asked for last; else the study has to be made anew."""
        echoed = [candidate.labels[PLACE] for _, candidate in candidates]
        if self._is_behind or echoed != [place for place, _ in self._pending]:
            self._is_behind, self._pending = True, []
            return
        self._numbers.update((name, number) for (name, _), (_, number) in zip(candidates, self._pending, strict=True))
        self._pending = []

    def _replay(self) -> None:
        """Ask and tell a new study all that the events say."""
        self._study, self._numbers, self._pending, self._is_behind = self._new_study(), {}, [], False
        due: dict[int, list[tuple[str, int]]] = defaultdict(list)
        for event in self._events:
            for name, candidate in event.candidates if isinstance(event, Proposed) else ():
                after, asks = map(int, candidate.labels[PLACE].split())
                due[after].append((name, asks))
        for after in range(len(self._events) + 1):
            for name, asks in due[after]:
                for again in range(1, asks + 1):
                    trial = self._study.ask()
                    suggested(trial, self._designs.parameters)
                    if again < asks:
                        self._study.tell(trial, state=TrialState.FAIL)
                self._numbers[name] = trial.number
            if after < len(self._events):
                self._tell(self._events[after])

    def _tell(self, event: Event) -> None:
        match event:
            case Rejected(name) if name in self._numbers:
                self._study.tell(self._numbers.pop(name), state=TrialState.FAIL)
            case TrialEnded(candidate=name, will_retry=False) if name in self._numbers:
                value = event.metrics.get(self._problem.metric, math.nan)
                is_value = math.isfinite(value)
                state = TrialState.COMPLETE if is_value else TrialState.FAIL
                self._study.tell(self._numbers.pop(name), value if is_value else None, state=state)

    def _new_study(self) -> Study:
        """Raises: UnsupportedProblem."""
        try:
            sampler = SAMPLERS[self._settings.sampler](self._seed % SEEDS, self._settings.startup)
        except ImportError as error:
            text = f"the sampler {self._settings.sampler} wants a package that is missing: {error}"
            raise UnsupportedProblem(text) from error
        return optuna.create_study(direction="maximize", sampler=sampler)

    def _within(self, max_flops: int | None) -> Designs:
        schedules = ("one_cycle",) if self._settings.joint else ()
        return Designs.of(self._problem, self._settings.spaces, schedules, max_flops)


def suggested(trial: Trial, parameters: Parameters) -> Configuration:
    """Of each active parameter the number of its value: an integer where they are ordered, else a category."""
    made = dict[str, Value]()
    for entry in parameters:
        if not entry.is_active(made):
            continue
        last = len(entry.values) - 1
        if entry.is_ordered:
            place = trial.suggest_int(entry.name, 0, last)
        else:
            place = trial.suggest_categorical(entry.name, tuple(range(last + 1)))
        made[entry.name] = entry.values[place]
    return made
