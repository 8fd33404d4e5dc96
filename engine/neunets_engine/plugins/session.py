"""One run's conversation with its plugin: every call is retried by the contract's table until it is answered."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message

from neunets.errors import (
    BadCheckpoint,
    Busy,
    CallInFlight,
    DeadlineExceeded,
    NeunetsError,
    NotReady,
    PluginFault,
    RunNotOpen,
    SequenceGap,
)
from neunets.status import rpc_error
from neunets.synthesizer.v1 import synthesizer_pb2, synthesizer_pb2_grpc
from neunets_engine.plugins.plugin import Latencies, Plugin, stub_of
from neunets_engine.plugins.tries import REFUSALS, Occupied, Tries

__all__ = ["PluginSession"]

LOG: Final = logging.getLogger(__name__)
OPEN_DEADLINE_S: Final = 60.0
INGEST_DEADLINE_S: Final = 30.0
ASSESS_DEADLINE_S: Final = 10.0
# Of Propose: a plugin says how long it usually takes (the 99th percentile); three times that, within these bounds.
PROPOSE_FACTOR: Final = 3.0
SHORTEST_PROPOSE_S, LONGEST_PROPOSE_S = 5.0, 600.0
MOST_WANTED: Final = 64
# Remarks of a plugin that a run keeps.
MOST_NOTES: Final = 64
# Of Propose for a plugin that does not say.
USUAL_P99_S: Final = 20.0
# Errors of a plugin that is at work, or says that it will be later.
LATE: Final = DeadlineExceeded | CallInFlight | NotReady | Busy

Answer = TypeVar("Answer", bound=Message)
Call: TypeAlias = "Callable[[synthesizer_pb2_grpc.SynthesizerAsyncStub, float], Awaitable[Answer]]"


class PluginSession:
    """Opens a run in the plugin, again after each of the plugin's restarts, and keeps it fed with the run's events."""

    def __init__(
        self,
        plugin: Plugin,
        opening: synthesizer_pb2.OpenRequest,
        events: Callable[[int], list[synthesizer_pb2.Event]],
    ) -> None:
        """`opening.call` names run and epoch; `events(after)` reads at most 500 of the run's log."""
        self._plugin = plugin
        self._opening = opening
        self._events = events
        self._incarnation = -1
        self._applied = 0  # the last event that the plugin knows
        self._sent = 0  # the last event that it was ever sent
        self._occupied = Occupied()
        self._deaths = set[int]()  # first events of the batches within which the plugin has ended
        self._careful_until = 0  # the last event of those batches
        self._notes: list[str] = []
        self._noted = 0

    def amend(self, problem: synthesizer_pb2.Problem) -> None:
        """What became known of the data before the run was opened."""
        self._opening.problem.CopyFrom(problem)

    async def check(self) -> None:
        """Ask the plugin whether it could work on this problem, without opening anything."""
        request = synthesizer_pb2.OpenRequest()
        request.CopyFrom(self._opening)
        request.validate_only = True
        await self._call(
            "Open", lambda stub, s: stub.Open(request, timeout=s), self._open_deadline_s(), run_scoped=False
        )

    def take_notes(self) -> list[str]:
        """What the plugin has remarked for people since the last time."""
        notes, self._notes = self._notes, []
        return notes

    async def ingest(self) -> None:
        """Second operation: everything in the run's log that the plugin has not seen; opens the run where it is not."""
        refusals = 0
        while True:
            await self._ensure_open()
            incarnation = self._incarnation
            events = self._events(self._applied)
            if not events:
                return
            if self._applied < self._careful_until:  # one by one, until it is known which event it is
                events = events[:1]
            self._sent = max(self._sent, events[-1].seq)
            request = synthesizer_pb2.IngestRequest(call=self._header(), events=events)
            try:
                answer = await self._call(
                    "Ingest",
                    partial(_send_events, request),
                    INGEST_DEADLINE_S,
                    run_scoped=False,
                    of=self._named(events),
                )
            except (RunNotOpen, SequenceGap) as error:
                if incarnation != self._plugin.incarnation:
                    self._deaths.add(events[0].seq)
                    self._careful_until = max(self._careful_until, events[-1].seq)
                refusals += 1
                if refusals >= REFUSALS:
                    await self._plugin.give_up(incarnation, f"Ingest: it is refused again and again: {error.message}")
                continue
            if answer.applied_seq != events[-1].seq:
                self._plugin.fault(f"Ingest acknowledged event {answer.applied_seq}, the last one was {events[-1].seq}")
            if incarnation == self._plugin.incarnation:
                self._applied = events[-1].seq

    async def propose(
        self, request_id: str, want: int, free_slots: int, budget: synthesizer_pb2.Budget
    ) -> synthesizer_pb2.ProposeResponse:
        """First operation. Raises: PluginFault on an answer without outcome, and the plugin's own refusals."""

        def ask(
            stub: synthesizer_pb2_grpc.SynthesizerAsyncStub, deadline_s: float
        ) -> Awaitable[synthesizer_pb2.ProposeResponse]:
            request = synthesizer_pb2.ProposeRequest(
                call=self._header(request_id), want=min(want, self._most()), free_slots=free_slots, budget=budget
            )
            return stub.Propose(request, timeout=deadline_s)

        answer = await self._call("Propose", ask, self._propose_deadline_s())
        if answer.WhichOneof("outcome") is None:
            self._plugin.fault("Propose answered neither proposals, nor wait, nor exhausted")
            raise PluginFault(f"{self._plugin.name} answered Propose with nothing: it must say what it wants")
        self._note(answer.diagnostics)
        return answer

    async def assess(self, budget: synthesizer_pb2.Budget, running: list[str]) -> synthesizer_pb2.AssessResponse | None:
        """Third operation; None where the plugin gives no verdict in time."""

        def ask(
            stub: synthesizer_pb2_grpc.SynthesizerAsyncStub, deadline_s: float
        ) -> Awaitable[synthesizer_pb2.AssessResponse]:
            request = synthesizer_pb2.AssessRequest(call=self._header(), budget=budget, running_trials=running)
            return stub.Assess(request, timeout=deadline_s)

        try:
            return await self._call("Assess", ask, ASSESS_DEADLINE_S, is_optional=True)
        except (DeadlineExceeded, CallInFlight, NotReady, Busy, PluginFault) as error:
            LOG.warning("no verdict from %s: %s", self._plugin.name, error.message)
            return None

    async def close(self, reason: str, within_s: float) -> None:
        """Tell the plugin that the run is over; a plugin that is gone, or does not answer, need not know."""
        if self._incarnation != self._plugin.incarnation or not self._plugin.link.is_up():
            return
        request = synthesizer_pb2.CloseRequest(call=self._header(), reason=reason)
        try:
            stub = stub_of(await self._plugin.channel())
            await stub.Close(request, timeout=within_s)
        except (grpc.aio.AioRpcError, NeunetsError):
            return

    async def _ensure_open(self) -> None:
        """Open the run where the plugin's process is new, and replay what it has to know."""
        while True:
            await self._plugin.channel()
            if self._incarnation == self._plugin.incarnation:
                return
            incarnation = self._plugin.incarnation
            try:
                opened = await self._call(
                    "Open",
                    lambda stub, s: stub.Open(self._opening, timeout=s),
                    self._open_deadline_s(),
                    run_scoped=False,
                )
            except BadCheckpoint:
                self._opening.ClearField("checkpoint")
                continue
            if opened.applied_seq and not self._events(opened.applied_seq - 1):
                await self._plugin.give_up(incarnation, f"Open: it knows event {opened.applied_seq}, which is not yet")
                continue
            if (name := self._plugin.description.name if self._plugin.description else "") not in (
                "",
                self._plugin.name,
            ):
                self._notes.append(f"{self._plugin.name} calls itself {name}")
            self._note(opened.diagnostics)
            self._applied = opened.applied_seq
            self._sent = max(self._sent, self._applied)
            self._incarnation = incarnation

    async def _call(
        self,
        method: str,
        call: Call[Answer],
        usual_deadline_s: float,
        *,
        run_scoped: bool = True,
        is_optional: bool = False,
        of: str = "",
    ) -> Answer:
        """Repeat `call` of a method by the contract's table of errors. `of`: what it is about, for people.

        `run_scoped`: it needs a run that is open and up to date.
        Raises: PluginFault once the plugin is in quarantine, and what the plugin refuses; if `is_optional`, also the
        first error that says that no answer comes in time.
        """
        tries = Tries(self._plugin, method + of, usual_deadline_s, self._occupied)
        while True:
            if run_scoped:
                await self.ingest()
            stub = stub_of(await self._plugin.channel())
            tries.begin()
            self._plugin.calls_in_flight += 1
            begin = time.monotonic()
            try:
                answer: Answer = await call(stub, tries.deadline_s())
                self._plugin.latencies.setdefault(method, Latencies()).add(time.monotonic() - begin)
                tries.answered()
                return answer
            except grpc.aio.AioRpcError as raw:
                error = _told(raw)
            finally:
                self._plugin.calls_in_flight -= 1
            self._unlearn(error)
            if isinstance(error, RunNotOpen | SequenceGap) and not run_scoped:
                raise error
            if is_optional and isinstance(error, LATE | PluginFault):
                tries.leave(error)
                raise error
            await tries.follow(error)

    def _named(self, events: Sequence[synthesizer_pb2.Event]) -> str:
        first, last = events[0], events[-1]
        if first.seq != last.seq:
            return f" of events {first.seq} to {last.seq}"
        again = ", as each time that it was replayed" if first.seq in self._deaths else ""
        return f" of event {first.seq} ({first.WhichOneof('event')}){again}"

    def _unlearn(self, error: NeunetsError) -> None:
        """What the plugin knows of the run may be less than was thought."""
        if isinstance(error, RunNotOpen):
            self._incarnation = -1
        if isinstance(error, SequenceGap):
            self._applied = min(error.applied_seq, self._sent)

    def _note(self, diagnostics: Sequence[synthesizer_pb2.Diagnostic]) -> None:
        for remark in diagnostics[: MOST_NOTES - self._noted]:
            self._noted += 1
            self._notes.append(f"{remark.code} {remark.path}: {remark.summary}")

    def _open_deadline_s(self) -> float:
        description = self._plugin.description
        p99_s = description.open_p99.ToMilliseconds() / 1000 if description is not None else 0.0
        return min(max(OPEN_DEADLINE_S, PROPOSE_FACTOR * p99_s), LONGEST_PROPOSE_S)

    def _most(self) -> int:
        """Candidates of one Propose."""
        description = self._plugin.description
        return (description and description.max_batch) or MOST_WANTED

    def _propose_deadline_s(self) -> float:
        description = self._plugin.description
        hinted = description is not None and description.HasField("propose_p99")
        p99_s = description.propose_p99.ToMilliseconds() / 1000 if description and hinted else USUAL_P99_S
        return min(max(PROPOSE_FACTOR * p99_s, SHORTEST_PROPOSE_S), LONGEST_PROPOSE_S)

    def _header(self, request_id: str = "") -> synthesizer_pb2.Call:
        call = synthesizer_pb2.Call()
        call.CopyFrom(self._opening.call)
        call.request_id = request_id or str(uuid.uuid4())
        call.log_seq = self._applied
        return call


def _told(raw: grpc.aio.AioRpcError) -> NeunetsError:
    """What the plugin answered; an exception that it did not name is a fault of its own."""
    error = rpc_error(raw)
    return PluginFault(error.message) if type(error) is NeunetsError else error


def _send_events(
    request: synthesizer_pb2.IngestRequest, stub: synthesizer_pb2_grpc.SynthesizerAsyncStub, deadline_s: float
) -> Awaitable[synthesizer_pb2.IngestResponse]:
    return stub.Ingest(request, timeout=deadline_s)
