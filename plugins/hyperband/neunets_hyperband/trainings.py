"""All trainings of a run and how far each network has come: a fold over its events."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Final

from neunets.canonical import canonical_hash
from neunets.synthesizer import (
    Candidate,
    Event,
    Injected,
    Measured,
    Proposed,
    Rejected,
    TrialEnded,
    TrialStarted,
    TrialState,
)
from neunets_hyperband.curves import miss
from neunets_hyperband.ladder import Ladder

__all__ = ["BRACKET", "DESIGN", "FROM", "LADDER", "NO_DESIGN", "RUNG", "Status", "Training", "Trainings"]

# Labels of a candidate: where it stands, what rungs there are, and the design of its network.
RUNG, BRACKET, LADDER = "rung", "bracket", "ladder"
# Only of one that has done well on other data.
FROM: Final = "from"
DESIGN: Final = ("space", "network", "training")
# With them a trial leaves a checkpoint.
RESUMABLE: Final = frozenset({TrialState.SUCCEEDED, TrialState.STOPPED})
NO_DESIGN: Final[Mapping[str, str]] = MappingProxyType({})


class Status(Enum):
    OPEN = "open"
    ENDED = "ended"
    VOID = "void"  # rejected or cancelled: it takes no place


@dataclass(frozen=True, slots=True)
class Training:
    """One candidate: a network is trained up to a rung. `network`: the candidate that has begun it.

    `value`: of the objective; minus infinity where the training failed, not a number while it is open.
    `design`: its labels; empty for the standard network. `device_s`, `epochs`: since the network's first step.
    """

    candidate: str
    network: str
    rung: int
    bracket: int
    design: Mapping[str, str] = field(default_factory=lambda: NO_DESIGN)
    status: Status = Status.OPEN
    trial: str = ""
    value: float = math.nan
    device_s: float = 0.0
    epochs: float = 0.0
    is_continued: bool = False

    @property
    def is_ready(self) -> bool:
        """It may train on."""
        return self.status is Status.ENDED and math.isfinite(self.value) and not self.is_continued


class Trainings:
    """Nothing is removed from it, so that a replay of any prefix of the log gives the same."""

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self._all: dict[str, Training] = {}  # by candidate, in the order in which they were proposed
        self._candidates: dict[str, str] = {}  # by trial
        self.curves: dict[str, dict[float, float]] = {}  # network → epoch → value
        self.misses: list[float] = []  # by which forecasts would have missed the ends of trainings
        self.known: set[str] = set()  # canonical hashes of all networks that the run has seen
        self.ladder: Ladder | None = None  # None: nothing was proposed yet
        self.proposed = 0
        self.remembered = 0  # of them, those that have done well on other data

    def copied(self) -> Trainings:
        """To be told of what may be proposed, and of no results."""
        made = Trainings(self._metric)
        made._all, made._candidates, made.curves = dict(self._all), dict(self._candidates), self.curves
        made.misses = self.misses
        made.known, made.ladder, made.proposed = set(self.known), self.ladder, self.proposed
        made.remembered = self.remembered
        return made

    @property
    def all(self) -> tuple[Training, ...]:
        return tuple(self._all.values())

    @property
    def is_open(self) -> bool:
        return any(each.status is Status.OPEN for each in self._all.values())

    def of_trial(self, trial: str) -> Training | None:
        return self._all.get(self._candidates.get(trial, ""))

    def apply(self, event: Event) -> None:
        match event:
            case Proposed(candidates):
                for name, candidate in candidates:
                    self._add(name, candidate)
            case Injected(_, candidate) if candidate.graph is not None:
                self.known.add(canonical_hash(candidate.graph))
            case Rejected(name):
                self._change(name, status=Status.VOID)
            case TrialStarted(name, trial) if self._is_open(name):
                self._name(name, trial)
            case Measured(trial, epoch, metrics):
                self._measure(trial, epoch, metrics.get(self._metric, math.nan))
            case TrialEnded(name, will_retry=False) if self._is_open(name):
                self._end(event)

    def _add(self, name: str, candidate: Candidate) -> None:
        labels, begun = candidate.labels, name
        self.proposed += 1
        self.remembered += FROM in labels
        if self.ladder is None:
            self.ladder = Ladder.read(labels[LADDER])
        before = self.of_trial(candidate.recipe.resume_trial or "")
        if before is not None:
            begun = before.network
            self._change(before.candidate, is_continued=True)
        elif candidate.graph is not None:
            self.known.add(canonical_hash(candidate.graph))
        design = {label: labels[label] for label in DESIGN if label in labels}
        self._all[name] = Training(name, begun, int(labels[RUNG]), int(labels[BRACKET]), design or NO_DESIGN)

    def _end(self, event: TrialEnded) -> None:
        """The first end of a candidate counts: a final training is none of the ladder's."""
        self._name(event.candidate, event.trial)
        if event.state is TrialState.CANCELLED:
            self._change(event.candidate, status=Status.VOID)
            return
        value, epochs = (event.metrics.get(name, math.nan) for name in (self._metric, "epochs"))
        is_good = event.state in RESUMABLE and math.isfinite(value)
        if is_good and math.isfinite(epochs):
            self._measure(event.trial, epochs, value)
            missed = miss(self.curves.get(self._all[event.candidate].network, {}), epochs)
            self.misses += [] if missed is None else [missed]
        self._change(
            event.candidate,
            status=Status.ENDED,
            value=value if is_good else -math.inf,
            device_s=event.device_s,
            epochs=epochs if epochs > 0.0 else 0.0,
        )

    def _measure(self, trial: str, epoch: float, value: float) -> None:
        training = self.of_trial(trial)
        if training is not None and training.status is Status.OPEN and math.isfinite(value):
            self.curves.setdefault(training.network, {})[epoch] = value

    def _name(self, candidate: str, trial: str) -> None:
        self._candidates[trial] = candidate
        self._change(candidate, trial=trial)

    def _change(self, candidate: str, **fields: object) -> None:
        if candidate in self._all:
            self._all[candidate] = replace(self._all[candidate], **fields)  # type: ignore[arg-type]

    def _is_open(self, candidate: str) -> bool:
        return candidate in self._all and self._all[candidate].status is Status.OPEN
