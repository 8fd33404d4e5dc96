"""One run as the engine drives it: every call with its deadline, events before calls that need them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from itertools import cycle
from threading import Event as Signal
from time import monotonic
from typing import Any, Final, TypeAlias

from google.protobuf.message import Message

from neunets.conform.check import Skipped, Violation
from neunets.conform.events import Log, State
from neunets.conform.exchange import Answer, Exchange, Pending
from neunets.conform.judge import Judge, Judgement
from neunets.conform.problem import budget
from neunets.errors import Busy, CallInFlight, NotReady
from neunets.status import STATUS
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["LARGEST_WANT", "MOST_EVENTS", "Fate", "Run", "propose_deadline_s"]

OPEN_S, INGEST_S, ASSESS_S, CLOSE_S = 60.0, 30.0, 10.0, 10.0
LARGEST_WANT: Final = 64
MOST_EVENTS: Final = 500
# Answers of Wait in a row, with nothing left to wait for, before a run counts as stuck; and how long each takes.
PATIENCE: Final = 20
LONGEST_WAIT_S: Final = 2.0
BACK_OFF_S: Final = 0.1
TRY_AGAIN: Final = frozenset(STATUS[kind] for kind in (Busy, CallInFlight, NotReady))
# How a trial ends; None: it still trains when the next candidates are asked for.
Fate: TypeAlias = State.ValueType | None
SUCCESS: Final = (State.STATE_SUCCEEDED,)


def propose_deadline_s(description: pb.DescribeResponse) -> float:
    """As the engine takes it from the plugin's hint."""
    hinted = description.HasField("propose_p99")
    p99_s = description.propose_p99.ToMilliseconds() / 1000 if hinted else 20.0
    return min(max(3 * p99_s, 5.0), 600.0)


class Run:
    """`opening` names run, epoch and seed. `log` is the truth; `applied` is what the plugin acknowledged of it."""

    def __init__(self, exchange: Exchange, opening: pb.OpenRequest, propose_s: float) -> None:
        self.opening = opening
        self.log = Log(opening.seed)
        self.applied = 0
        self.judge = Judge(opening.problem)
        self.judged: dict[str, Judgement] = {}  # by the candidate's id
        self.checkpoints: list[pb.Checkpoint] = []
        self.is_open = False
        self._exchange = exchange
        self._propose_s = propose_s
        self._requests = 0

    @property
    def name(self) -> str:
        return self.opening.call.run

    def call(self, request_id: str = "", **fields: Any) -> pb.Call:
        """The header; `fields` in place of what is due."""
        epoch = self.opening.call.epoch
        due: dict[str, Any] = {"run": self.name, "epoch": epoch, "log_seq": self.applied}
        return pb.Call(**({"request_id": request_id or self.request_id()} | due | fields))

    def request_id(self) -> str:
        """A new one; the n-th of a run is always the same."""
        self._requests += 1
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.name}/{self._requests}"))

    def budget(self) -> pb.Budget:
        """Where the plugin stands in the log, so that a replay is given what was given before."""
        return budget(self.log.trials(self.applied), float(self.applied))

    def open(self, checkpoint: pb.Checkpoint | None = None) -> pb.OpenResponse:
        """Open it, or open it again; what was sent before is not acknowledged any more."""
        request = pb.OpenRequest()
        request.CopyFrom(self.opening)
        if checkpoint is not None:
            request.checkpoint.CopyFrom(checkpoint)
        opened: pb.OpenResponse = self._patiently("Open", request, OPEN_S).value()
        self.applied = opened.applied_seq
        self.is_open = True
        return opened

    def try_open(self, **fields: Any) -> Answer[pb.OpenResponse]:
        """Once, with `fields` changed."""
        request = pb.OpenRequest()
        request.CopyFrom(self.opening)
        request.MergeFrom(pb.OpenRequest(**fields))
        answer = self._exchange.open(request, OPEN_S)
        self.is_open |= answer.response is not None and not request.validate_only
        return answer

    def start_propose(self, want: int, request_id: str = "", **fields: Any) -> Pending[pb.ProposeResponse]:
        return self._exchange.start("Propose", self.asking(want, request_id, **fields), self._propose_s)

    def try_propose(self, want: int = 2, request_id: str = "", **fields: Any) -> Answer[pb.ProposeResponse]:
        return self.start_propose(want, request_id, **fields).answer()

    def propose(self, want: int, request_id: str) -> pb.ProposeResponse:
        """Whatever the outcome, but there is one."""
        answer: pb.ProposeResponse = self._patiently("Propose", self.asking(want, request_id), self._propose_s).value()
        if answer.WhichOneof("outcome") is None:
            raise Violation("Propose answered neither proposals, nor wait, nor exhausted")
        self._keep(answer)
        return answer

    def asking(self, want: int, request_id: str = "", **fields: Any) -> pb.ProposeRequest:
        return pb.ProposeRequest(
            call=self.call(request_id, **fields), want=want, free_slots=min(want, 2), budget=self.budget()
        )

    def candidates(self, want: int, request_id: str = "") -> list[pb.Candidate]:
        """Ask until there are some; [] once the plugin is exhausted. Trials end while it waits for results."""
        request_id = request_id or self.request_id()
        idle = 0
        while idle < PATIENCE:
            answer = self.propose(want, request_id)
            match answer.WhichOneof("outcome"):
                case "proposals" if answer.proposals.candidates:
                    return list(answer.proposals.candidates)
                case "proposals":
                    raise Violation("Propose answered proposals without a candidate")
                case "exhausted":
                    return []
            if self.log.running:
                self.finish(max(1, answer.wait.min_new_results))
            else:
                idle += 1
                Signal().wait(min(answer.wait.after.ToMilliseconds() / 1000, LONGEST_WAIT_S))
        raise Violation(f"Propose answered Wait {PATIENCE} times in a row while nothing trained")

    def finish(self, count: int) -> None:
        for trial in list(self.log.running)[:count]:
            self.log.ended(trial)
        self.ingest()

    def admit(self, request_id: str, candidates: Sequence[pb.Candidate]) -> list[str]:
        """Into the log, checked as the engine checks them; the ids of those that may be trained."""
        named = dict(zip(self.log.names(len(candidates)), candidates, strict=True))
        found = self.judge.judge_all(named, self.log.known, self.log.family.parents, self.log.trained.past)
        derived = {name: each.derived for name, each in found.items() if each.derived is not None}
        self.log.proposed(request_id, candidates, derived)
        self.judged |= found
        for name, each in found.items():
            if each.refusal:
                self.log.rejected(name, each.diagnostic())
            else:
                self.log.admitted(name, each.digest)
        return [name for name, each in found.items() if not each.refusal]

    def begun(self, want: int = 2) -> list[str]:
        """Propose, admit, start: the trials. Raises: Violation if none may be trained; Skipped where none is left."""
        request_id = self.request_id()
        found = self.candidates(want, request_id)[:want]
        if not found:
            raise Skipped(f"exhausted after {len(self.log.candidates)} candidates")
        admitted = self.admit(request_id, found)
        if not admitted:
            raise Violation("nothing was proposed that could be trained")
        trials = [self.log.started(name) for name in admitted]
        self.ingest()
        return trials

    def search(self, count: int, want: int, fates: Sequence[Fate] = SUCCESS) -> int:
        """A whole search, until so many candidates were proposed or the plugin is exhausted; how many there were.

        `fates`: of its trials, by turns.
        """
        coming = cycle(fates)
        while len(self.log.candidates) < count:
            request_id = self.request_id()
            found = self.candidates(min(want, count - len(self.log.candidates)), request_id)[:want]
            if not found:
                break
            lasting = list(self.log.running)
            for name, fate in zip(self.admit(request_id, found), coming, strict=False):
                trial = self.log.started(name)
                self.log.measured(trial, 1.0)
                if fate is not None:
                    self.log.ended(trial, fate)
            for trial in lasting:
                self.log.ended(trial)
            self.ingest()
        return len(self.log.candidates)

    def ingest(self) -> None:
        """Send what the plugin has not acknowledged. Raises: Violation if it acknowledges something else."""
        while self.applied < len(self.log.events):
            self.send(self.log.events[self.applied : self.applied + MOST_EVENTS])

    def send(self, events: Sequence[pb.Event]) -> None:
        """These next ones."""
        answer: pb.IngestResponse = self._patiently("Ingest", self.sending(events), INGEST_S).value()
        if answer.applied_seq != events[-1].seq:
            raise Violation(f"Ingest acknowledged event {answer.applied_seq}, the last one was {events[-1].seq}")
        self.applied = answer.applied_seq
        self._keep(answer)

    def sending(self, events: Sequence[pb.Event], **fields: Any) -> pb.IngestRequest:
        return pb.IngestRequest(call=self.call(**fields), events=events)

    def try_ingest(self, events: Sequence[pb.Event], **fields: Any) -> Answer[pb.IngestResponse]:
        return self._exchange.ingest(self.sending(events, **fields), INGEST_S)

    def assess(self, running: Sequence[str] | None = None) -> pb.AssessResponse:
        """`running`: in place of what the log says."""
        trials = list(self.log.running) if running is None else running
        request = pb.AssessRequest(call=self.call(), budget=self.budget(), running_trials=trials)
        answer: pb.AssessResponse = self._patiently("Assess", request, ASSESS_S).value()
        return answer

    def try_assess(self, budget: pb.Budget | None = None, **fields: Any) -> Answer[pb.AssessResponse]:
        request = pb.AssessRequest(call=self.call(**fields), budget=budget or self.budget())
        return self._exchange.assess(request, ASSESS_S)

    def close(self, **fields: Any) -> Answer[pb.CloseResponse]:
        self.is_open = False
        return self._exchange.close(pb.CloseRequest(call=self.call(**fields), reason="COMPLETED"), CLOSE_S)

    def _patiently(self, method: str, request: Message, deadline_s: float) -> Answer[Any]:
        """Again while the plugin asks for patience, as the engine does."""
        end = monotonic() + deadline_s
        while True:
            answer = self._exchange.start(method, request, max(0.1, end - monotonic())).answer()
            asks = (answer.status.code, answer.status.reason) in TRY_AGAIN
            if not asks or monotonic() + BACK_OFF_S > end:
                return answer
            Signal().wait(BACK_OFF_S)

    def _keep(self, answer: pb.ProposeResponse | pb.IngestResponse) -> None:
        if answer.HasField("checkpoint"):
            self.checkpoints.append(answer.checkpoint)
