"""The event log of a run as the engine writes it; the results are simulated, by the network and what it continues."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from neunets.conform.family import WEIGHTS, Family
from neunets.conform.trained import Trained
from neunets.continuation import CHECKPOINT, Past
from neunets.graph.v1 import graph_pb2
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["Log", "State"]

State = pb.TrialEnded.State
BEGIN_S: Final = 1_767_225_600  # 2026-01-01
DEVICE_S: Final = 12.5
EPOCHS: Final = 3.0
# Of the errors of a trial that is continued, what is left.
ERRORS_LEFT: Final = 0.95
# The artifacts of a result, with their bytes.
LEFT: Final = {WEIGHTS: 1 << 20, CHECKPOINT: 2 << 20}
SAFETENSORS: Final = "application/x-safetensors"
NONE_DERIVED: Final[Mapping[str, graph_pb2.Graph]] = MappingProxyType({})


def accuracy_of(digest: str, seed: int) -> float:
    """Of a training that nobody made: the same network gives the same one."""
    hashed = hashlib.sha256(struct.pack(">Q", seed) + digest.encode()).digest()
    return 0.3 + 0.65 * int.from_bytes(hashed[:8], "big") / 2**64


def results(accuracy: float, epochs: float) -> dict[str, float]:
    return {
        "valid_accuracy": accuracy,
        "valid_balanced_accuracy": accuracy - 0.01,
        "valid_loss": -math.log(accuracy),
        "train_loss": -math.log(min(0.99, accuracy + 0.05)),
        "epochs": epochs,
        "images_per_s": 5_000.0,
    }


class Log:
    """Of one run: contiguous events from 1. Whoever trains what is in it, too."""

    def __init__(self, seed: int) -> None:
        self.events: list[pb.Event] = []
        self.candidates: dict[str, pb.Candidate] = {}
        self.known: dict[str, str] = {}  # digest of a graph → candidate
        self.digests: dict[str, str] = {}  # candidate → digest of its graph
        self.running: dict[str, str] = {}  # trial → candidate
        self.family = Family()
        self.trained = Trained()
        self._seed = seed
        self._begun = [0]  # trials, before the first event and after each
        self._trials = 0
        self._attempts: dict[str, int] = {}
        self._begun_by: dict[str, str] = {}  # trial → candidate
        self._results: dict[str, Mapping[str, float]] = {}  # of each candidate

    def trials(self, seq: int) -> int:
        """How many had begun up to event `seq`."""
        return self._begun[min(seq, len(self.events))]

    def names(self, count: int) -> list[str]:
        """Of the next so many candidates."""
        return [f"c{len(self.candidates) + number:06d}" for number in range(1, count + 1)]

    def proposed(
        self,
        request_id: str,
        candidates: Sequence[pb.Candidate],
        derived: Mapping[str, graph_pb2.Graph] = NONE_DERIVED,
    ) -> list[str]:
        """The ids of the candidates. `derived`: the graphs, by these ids, that the engine fills in."""
        proposed = pb.Proposed(request_id=request_id)
        for name, candidate in zip(self.names(len(candidates)), candidates, strict=True):
            echo = proposed.candidates.add(id=name, candidate=candidate).candidate
            if name in derived:
                echo.graph.CopyFrom(derived[name])
            self.candidates[name] = candidate
        self._add(proposed=proposed)
        return [entry.id for entry in proposed.candidates]

    def admitted(self, candidate: str, digest: str) -> None:
        """Not an event: what results depend on, and what is a duplicate from now on."""
        self.known.setdefault(digest, candidate)
        self.digests[candidate] = digest

    def rejected(self, candidate: str, why: pb.Diagnostic) -> None:
        self._add(rejected=pb.Rejected(candidate=candidate, why=[why]))

    def started(self, candidate: str) -> str:
        """The trial."""
        self._trials += 1
        return self.restarted(f"t{self._trials:06d}", candidate)

    def restarted(self, trial: str, candidate: str) -> str:
        self._attempts[trial] = self._attempts.get(trial, 0) + 1
        self.running[trial] = self._begun_by[trial] = candidate
        attempt = self._attempts[trial]
        self._add(started=pb.TrialStarted(candidate=candidate, trial=trial, attempt=attempt, device="cpu:0"))
        return trial

    def measured(self, trial: str, epoch: float, metrics: Mapping[str, float] | None = None) -> None:
        """`epoch`: since the trial began; those of the trial that it continues are added.

        `metrics`: in place of the simulated ones.
        """
        candidate = self.running[trial]
        metrics, past = metrics or self._simulated(candidate), self._continued(candidate)
        kept = {name: metrics[name] for name in ("valid_accuracy", "valid_loss", "train_loss")}
        since = epoch if past is None else past.epochs + epoch
        self._add(measured=pb.Measured(trial=trial, epoch=since, metrics=kept))

    def ended(
        self,
        trial: str,
        state: State.ValueType = State.STATE_SUCCEEDED,
        metrics: Mapping[str, float] | None = None,
        will_retry: bool = False,
        device_s: float | None = None,
    ) -> None:
        """`metrics`, `device_s`: in place of the simulated ones."""
        candidate = self.running.pop(trial)
        has_result = state in (State.STATE_SUCCEEDED, State.STATE_STOPPED)
        simulated = self._simulated(candidate) if has_result else {}
        ended = pb.TrialEnded(
            candidate=candidate,
            trial=trial,
            attempt=self._attempts[trial],
            state=state,
            metrics=simulated if metrics is None else metrics,
            device_s=self._device_s(candidate) if device_s is None else device_s,
            peak_bytes=64 << 20,
            will_retry=will_retry,
        )
        if has_result:
            for name, size in LEFT.items():
                ended.artifacts[name].CopyFrom(_artifact(f"{name} of {candidate}", size))
        else:
            ended.error.CopyFrom(
                pb.Diagnostic(severity=pb.Diagnostic.SEVERITY_ERROR, code="TRIAL", summary="it failed")
            )
        self._add(ended=ended)

    def unknown(self, fields: bytes) -> None:
        """An event of a later version: its kind is in `fields`, as they come over the wire."""
        self._add()
        self.events[-1].MergeFromString(fields)

    def injected(self, candidate: pb.Candidate) -> None:
        (name,) = self.names(1)
        self.candidates[name] = candidate
        entry = pb.ProposedCandidate(id=name, candidate=candidate)
        self._add(injected=pb.Injected(candidate=entry))
        self.ended(self.started(name))

    def budget_changed(self, budget: pb.Budget) -> None:
        self._add(budget_changed=pb.BudgetChanged(budget=budget))

    def _simulated(self, candidate: str) -> Mapping[str, float]:
        """A continuation is a little better than what it continues, and never perfect."""
        if candidate not in self._results:
            asked, past = self.candidates[candidate], self._continued(candidate)
            if past is None:
                accuracy = accuracy_of(self.digests.get(candidate, candidate), self._seed)
            else:
                before = self._simulated(self._begun_by[past.trial])["valid_accuracy"]
                accuracy = 1.0 - ERRORS_LEFT * (1.0 - before)
            epochs = EPOCHS if past is None else past.epochs + EPOCHS
            simulated = results(accuracy, asked.recipe.epochs if asked.recipe.HasField("epochs") else epochs)
            self._results[candidate] = simulated | ({"inherited_delta": 0.0} if asked.lineage else {})
        return self._results[candidate]

    def _device_s(self, candidate: str) -> float:
        recipe, past = self.candidates[candidate].recipe, self._continued(candidate)
        if recipe.HasField("device_s"):
            return recipe.device_s
        return DEVICE_S if past is None else past.device_s + DEVICE_S

    def _continued(self, candidate: str) -> Past | None:
        """The trial that it continues, whose epochs and seconds count."""
        return self.trained.past(self.candidates[candidate].recipe.resume_trial)

    def _add(self, **kind: object) -> None:
        event = pb.Event(seq=len(self.events) + 1, **kind)  # type: ignore[arg-type]
        event.time.FromSeconds(BEGIN_S + event.seq)
        self.events.append(event)
        self._begun.append(self._trials)
        self.family.add(event)
        self.trained.add(event)


def _artifact(what: str, size: int) -> pb.ArtifactRef:
    """A reference to what nobody has trained."""
    digest = hashlib.sha256(what.encode()).hexdigest()
    return pb.ArtifactRef(sha256=digest, size=size, media_type=SAFETENSORS)
