"""How candidates enter a run: numbered, checked, and kept before anything is trained."""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from neunets.continuation import CHECKPOINT, Past, among
from neunets.errors import IllegalTransition, InvalidRequest, NotFound
from neunets.messages import MESSAGE_BYTES
from neunets.sentences import sentence
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_to_proto
from neunets_engine.admission import TOO_LARGE, Admitted, Rules, admit
from neunets_engine.lifecycle import State
from neunets_engine.quotas import stub
from neunets_engine.scheduler import Scheduler
from neunets_engine.store import Store

__all__ = ["Intake", "Kin", "Taken"]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a plugin's candidates."""

    admitted: int
    rejected: Sequence[synthesizer_pb2.Rejected]


@dataclass(frozen=True, slots=True)
class _Judged:
    """What is to be kept of an answer of Propose. `known`: canonical hash → id of the admitted candidates."""

    proposed: synthesizer_pb2.Proposed
    admitted: list[tuple[store_pb2.TrialRecord, str]] = field(default_factory=list)
    rejected: list[synthesizer_pb2.Rejected] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)


class Kin:
    """The trials of a run's candidates, and which continue others; what is read once of the store is kept."""

    def __init__(self, run_id: str, store: Store) -> None:
        self._id, self._store = run_id, store
        self._trials: dict[str, str] | None = None
        self._heirs = dict[str, str]()  # by the trial that is continued

    def of(self, candidate: str) -> store_pb2.TrialRecord | None:
        """The trial of a candidate as it is now; None: the run has admitted none of that id."""
        trial = self._read().get(candidate)
        return self._store.trial(self._id, trial) if trial is not None else None

    def past(self, trial: str) -> Past | None:
        """A trial of the search, as who continues it sees it; None: there is none."""
        self._read()
        try:
            found = self._store.trial(self._id, trial)
        except NotFound:
            return None
        if found.final_of:
            return None
        return Past(
            trial,
            found.graph,
            found.recipe,
            has_ended=found.state == service_pb2.TRIAL_STATE_ENDED,
            has_checkpoint=CHECKPOINT in found.result.artifacts,
            epochs=found.result.metrics.get("epochs", 0.0),
            device_s=found.result.device_s,
            heir=self._heirs.get(trial, ""),
        )

    def note(self, *trials: store_pb2.TrialRecord) -> None:
        """They are the run's from now on."""
        self._read().update((trial.candidate, trial.trial) for trial in trials)
        self._heirs.update((trial.continued, trial.trial) for trial in trials if trial.continued)

    def _read(self) -> dict[str, str]:
        if self._trials is None:
            self._trials = {}
            self.note(*(trial for trial in self._store.trials(self._id) if not trial.final_of))
        return self._trials


class Intake:
    """Of one run, which nobody else adds candidates to. `rules()`: as they are now."""

    def __init__(self, run_id: str, store: Store, scheduler: Scheduler, rules: Callable[[], Rules]) -> None:
        self._id, self._store, self._scheduler, self._rules = run_id, store, scheduler, rules
        self._networks: dict[str, str] | None = None
        self.kin = Kin(run_id, store)
        # Candidates and trials are numbered in the order of their writes.
        self._numbering = asyncio.Lock()

    async def take(self, request_id: str, candidates: Sequence[synthesizer_pb2.Candidate]) -> Taken:
        """The answer of Propose to a request: each candidate becomes a trial, or is rejected."""
        async with self._numbering:
            known = self._known()
            judged = await asyncio.to_thread(self._judge, request_id, candidates, known)
            await self._store.record_proposals(self._id, judged.proposed, judged.admitted, judged.rejected)
            known.update(judged.known)
            self.kin.note(*(trial for trial, _ in judged.admitted))
        await self._scheduler.add(self._id, *(trial.trial for trial, _ in judged.admitted))
        return Taken(len(judged.admitted), judged.rejected)

    def _judge(
        self, request_id: str, candidates: Sequence[synthesizer_pb2.Candidate], before: dict[str, str]
    ) -> _Judged:
        """Check candidates, as many as one event of the log holds; nobody else changes what is read meanwhile."""
        record, rules = self._store.run(self._id), self._rules()
        judged = _Judged(synthesizer_pb2.Proposed(request_id=request_id))
        known, heirs, size = ChainMap(judged.known, before), dict[str, str](), 0
        for number, candidate in enumerate(candidates, record.proposed + 1):
            name = f"c{number:06d}"
            answer = admit(candidate, rules, known, self.kin.of, among(self.kin.past, heirs))
            echo = _echo(candidate, answer)
            size += echo.ByteSize()
            if judged.proposed.candidates and size > MESSAGE_BYTES:
                break
            judged.proposed.candidates.add(id=name, candidate=echo)
            if isinstance(answer, Admitted):
                known.setdefault(answer.digest, name)
                trial = self._trial(f"t{record.trials + len(judged.admitted) + 1:06d}", name, echo, answer)
                judged.admitted.append((trial, answer.digest))
                heirs[answer.continued] = trial.trial  # no trial is called ""
            else:
                judged.rejected.append(synthesizer_pb2.Rejected(candidate=name, why=answer))
        return judged

    async def inject(self, candidate: synthesizer_pb2.Candidate, request_id: str, most_trials: int | None) -> str:
        """Let a user's own network in; returns its trial, of an earlier request with the same id too.

        Raises: InvalidRequest for a candidate that is rejected; IllegalTransition once the search is over.
        """
        async with self._numbering:
            before = self._store.injected(self._id, candidate, request_id)
            if before:
                return before
            record = self._store.run(self._id)
            if most_trials is not None and record.trials >= most_trials:
                text = f"its budget of {most_trials} trials is used: give {record.run.name} more, then inject"
                raise IllegalTransition(text, state=State(record.run.state).name)
            answer = await asyncio.to_thread(admit, candidate, self._rules(), self._known())
            if not isinstance(answer, Admitted):
                raise InvalidRequest(answer[0].path or "graph", answer[0].summary)
            name = f"c{record.proposed + 1:06d}"
            trial = self._trial(f"t{record.trials + 1:06d}", name, candidate, answer)
            trial.injected = True
            await self._store.inject(trial, candidate, answer.digest, request_id)
            self._known()[answer.digest] = name
            self.kin.note(trial)
        await self._scheduler.add(self._id, trial.trial)
        return trial.trial

    def _known(self) -> dict[str, str]:
        """Canonical hash → candidate of all networks that the run admitted."""
        if self._networks is None:
            self._networks = self._store.hashes(self._id)
        return self._networks

    def _trial(
        self, trial: str, candidate: str, asked: synthesizer_pb2.Candidate, admitted: Admitted
    ) -> store_pb2.TrialRecord:
        record = store_pb2.TrialRecord(
            run=self._id,
            trial=trial,
            candidate=candidate,
            graph=asked.graph,
            recipe=asked.recipe,
            asked=asked.recipe,
            params=admitted.cost.params,
            flops=admitted.cost.flops,
            activation_bytes=admitted.cost.activation_bytes,
            rationale=sentence(asked.rationale),
            state=service_pb2.TRIAL_STATE_WAITING,
            accumulate=1,
            parent=admitted.parent,
            lineage=asked.lineage,
            continued=admitted.continued,
            labels=asked.labels,
        )
        if admitted.recipe is not None:
            _go_on(record, self._store.trial(self._id, admitted.continued), admitted.recipe)
        return record


def _echo(
    candidate: synthesizer_pb2.Candidate, answer: Admitted | Sequence[synthesizer_pb2.Diagnostic]
) -> synthesizer_pb2.Candidate:
    """As the log keeps it: with its graph where it is admitted, without what is too large."""
    if not isinstance(answer, Admitted) and answer[0].code == TOO_LARGE:
        return stub(candidate)
    echo = synthesizer_pb2.Candidate()
    echo.CopyFrom(candidate)
    echo.rationale = sentence(candidate.rationale)
    if isinstance(answer, Admitted) and (candidate.lineage or answer.continued):
        echo.graph.CopyFrom(graph_to_proto(answer.graph))
    return echo


def _go_on(record: store_pb2.TrialRecord, past: store_pb2.TrialRecord, recipe: synthesizer_pb2.Recipe) -> None:
    """Begin a trial where an earlier one has ended. What was asked for it is what a final training gets."""
    record.recipe.CopyFrom(recipe)
    total = recipe.WhichOneof("total")
    assert total is not None
    record.asked.CopyFrom(past.asked)
    setattr(record.asked, total, getattr(recipe, total))
    record.checkpoint.CopyFrom(past.result.artifacts[CHECKPOINT])
    record.device_s, record.accumulate = past.result.device_s, past.accumulate
    record.parent, record.injected = past.parent, past.injected
