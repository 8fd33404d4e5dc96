"""What candidates may continue: the trials that a run has begun, with what they have left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from neunets.continuation import CHECKPOINT, Past
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["Trained"]


class Trained:
    """A fold over the events of a run, as a plugin makes it too."""

    def __init__(self, events: Iterable[pb.Event] = ()) -> None:
        self._candidates: dict[str, pb.Candidate] = {}
        self._trials: dict[str, Past] = {}
        self._names: dict[str, str] = {}  # of the first trial of each candidate
        self._heirs: dict[str, list[str]] = {}  # candidates, by the trial that they continue
        for event in events:
            self.add(event)

    def past(self, trial: str) -> Past | None:
        """A trial, as who continues it sees it; None: none of that name has begun."""
        found, heirs = self._trials.get(trial), self._heirs.get(trial)
        if found is None or not heirs:
            return found
        return replace(found, heir=self._names.get(heirs[0], heirs[0]))

    def add(self, event: pb.Event) -> None:
        match event.WhichOneof("event"):
            case "proposed":
                for entry in event.proposed.candidates:
                    self._admit(entry)
            case "injected":
                self._admit(event.injected.candidate)
            case "rejected":
                self._reject(event.rejected.candidate)
            case "started":
                self._start(event.started)
            case "ended":
                self._end(event.ended)

    def _admit(self, entry: pb.ProposedCandidate) -> None:
        self._candidates[entry.id] = entry.candidate
        if entry.candidate.recipe.resume_trial:
            self._heirs.setdefault(entry.candidate.recipe.resume_trial, []).append(entry.id)

    def _reject(self, name: str) -> None:
        candidate = self._candidates.pop(name, None)
        if candidate is not None and candidate.recipe.resume_trial:
            self._heirs[candidate.recipe.resume_trial].remove(name)

    def _start(self, started: pb.TrialStarted) -> None:
        candidate = self._candidates[started.candidate]
        recipe = self._recipe(candidate.recipe)
        self._names.setdefault(started.candidate, started.trial)
        self._trials[started.trial] = Past(
            started.trial, candidate.graph, recipe, has_ended=False, has_checkpoint=False
        )

    def _recipe(self, asked: pb.Recipe) -> pb.Recipe:
        """What a continuation leaves out is of the trial that it continues."""
        recipe, past = pb.Recipe(), self._trials.get(asked.resume_trial)
        if past is not None:
            recipe.CopyFrom(past.recipe)
        recipe.MergeFrom(asked)
        recipe.ClearField("resume_trial")
        return recipe

    def _end(self, ended: pb.TrialEnded) -> None:
        if not ended.will_retry and ended.trial in self._trials:
            self._trials[ended.trial] = replace(
                self._trials[ended.trial],
                has_ended=True,
                has_checkpoint=CHECKPOINT in ended.artifacts,
                epochs=ended.metrics.get("epochs", 0.0),
                device_s=ended.device_s,
            )
