"""`synthesizer.v1.Synthesizer` in front of a `Synthesizer`: epochs, sequence numbers, repeated requests, threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Final, NoReturn, TypeVar

import grpc

from neunets.errors import (
    CallInFlight,
    DeadlineExceeded,
    InvalidRequest,
    RunNotOpen,
    SequenceGap,
    StaleEpoch,
    UnsupportedProblem,
)
from neunets.synthesizer import wire
from neunets.synthesizer.api import Event, Proposals, Session, Synthesizer, Wait
from neunets.synthesizer.past import Past
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.synthesizer.v1 import synthesizer_pb2_grpc

__all__ = ["SynthesizerServicer"]

LONGEST_DEADLINE_S: Final = 24 * 3600.0
LARGEST_WANT: Final = 64
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _OpenRun:
    """One run's session, and the only thread that enters it."""

    session: Session
    epoch: int
    thread: ThreadPoolExecutor
    applied_seq: int = 0
    answered: dict[str, tuple[int, pb.ProposeResponse]] = field(default_factory=dict)  # by request_id
    in_flight: Lock = field(default_factory=Lock)


class SynthesizerServicer(synthesizer_pb2_grpc.SynthesizerServicer):
    """The gRPC threads only check and wait: user code runs in one thread a run, so that health stays responsive."""

    def __init__(self, synthesizer: Synthesizer, host: Callable[[], grpc.Channel] | None = None) -> None:
        """`host`: a new channel to the plugin host; None: there is none to ask."""
        self._synthesizer = synthesizer
        self._host = host
        self._runs: dict[str, _OpenRun] = {}
        self._lock = Lock()

    def open_runs(self) -> int:
        return len(self._runs)

    def Describe(self, request: pb.DescribeRequest, context: grpc.ServicerContext) -> pb.DescribeResponse:
        _deadline_s(context)
        return wire.description_to_proto(self._synthesizer.describe())

    def Open(self, request: pb.OpenRequest, context: grpc.ServicerContext) -> pb.OpenResponse:
        deadline_s = _deadline_s(context)
        if not request.call.run:
            raise InvalidRequest("call.run", "unset")
        description = self._synthesizer.describe()
        problem = wire.problem_from_proto(request.problem)
        if problem.task not in description.tasks:
            raise UnsupportedProblem(f"{problem.task!r} is none of {', '.join(description.tasks)}")
        settings = wire.settings_from_proto(request)
        unknown = wire.unknown_settings(settings, description.settings)
        if self._host is not None and not request.validate_only:  # else the host may not know the run
            problem = replace(problem, past=Past(request.call.run, self._host))
        with self._lock:
            before = self._runs.get(request.call.run)
            if before is not None and not request.validate_only and request.call.epoch < before.epoch:
                raise StaleEpoch(f"epoch {before.epoch} has the run", epoch=str(before.epoch))
        thread = ThreadPoolExecutor(1, thread_name_prefix=request.call.run)
        opening = thread.submit(self._synthesizer.open, problem, settings, request.seed)
        try:
            session = _result(opening, deadline_s)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        if request.validate_only:
            thread.shutdown(wait=False)
        else:
            with self._lock:
                replaced = self._runs.get(request.call.run)
                self._runs[request.call.run] = _OpenRun(session, request.call.epoch, thread)
            if replaced is not None:
                replaced.thread.shutdown(wait=False)
        return pb.OpenResponse(applied_seq=0, effective_settings=request.settings, diagnostics=unknown)

    def Propose(self, request: pb.ProposeRequest, context: grpc.ServicerContext) -> pb.ProposeResponse:
        deadline_s = _deadline_s(context)
        run = self._run(request.call)
        if not request.call.request_id:
            raise InvalidRequest("call.request_id", "unset")
        if not 1 <= request.want <= LARGEST_WANT:
            raise InvalidRequest("want", f"{request.want} is not within 1..{LARGEST_WANT}")
        _check_seq(request.call, run)

        def propose() -> pb.ProposeResponse:
            before = run.answered.get(request.call.request_id)
            if before is not None and before[0] == run.applied_seq:
                return before[1]
            outcome = run.session.propose(request.want, wire.budget_from_proto(request.budget))
            answer = wire.outcome_to_proto(outcome, run.applied_seq)
            if not isinstance(outcome, Wait):
                run.answered = {request.call.request_id: (run.applied_seq, answer)}
            if isinstance(outcome, Proposals):
                del answer.proposals.candidates[request.want :]
            return answer

        return _alone(run, propose, deadline_s)

    def Ingest(self, request: pb.IngestRequest, context: grpc.ServicerContext) -> pb.IngestResponse:
        deadline_s = _deadline_s(context)
        run = self._run(request.call)

        def ingest() -> int:
            fresh = [event for event in request.events if event.seq > run.applied_seq]
            for number, event in enumerate(fresh, run.applied_seq + 1):
                if event.seq != number:
                    raise SequenceGap(run.applied_seq, f"event {number} is missing before event {event.seq}")
            events: list[Event] = [known for event in fresh if (known := wire.event_from_proto(event)) is not None]
            if events:
                run.session.ingest(events)
            run.applied_seq += len(fresh)
            return run.applied_seq

        return pb.IngestResponse(applied_seq=_alone(run, ingest, deadline_s))

    def Assess(self, request: pb.AssessRequest, context: grpc.ServicerContext) -> pb.AssessResponse:
        deadline_s = _deadline_s(context)
        run = self._run(request.call)
        _check_seq(request.call, run)
        budget = wire.budget_from_proto(request.budget)
        running = tuple(request.running_trials)
        return wire.assessment_to_proto(_alone(run, lambda: run.session.assess(budget, running), deadline_s))

    def Close(self, request: pb.CloseRequest, context: grpc.ServicerContext) -> pb.CloseResponse:
        with self._lock:
            run = self._runs.get(request.call.run)
            if run is not None and request.call.epoch >= run.epoch:
                del self._runs[request.call.run]
                run.thread.shutdown(wait=False)
        return pb.CloseResponse()

    def Snapshot(self, request: pb.SnapshotRequest, context: grpc.ServicerContext) -> NoReturn:
        """Not offered: the replay of a run's events is cheap."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "CAPABILITY_SNAPSHOT is not declared")

    def _run(self, call: pb.Call) -> _OpenRun:
        """Raises: InvalidRequest, RunNotOpen, StaleEpoch."""
        if not call.run:
            raise InvalidRequest("call.run", "unset")
        with self._lock:
            run = self._runs.get(call.run)
        if run is None:
            raise RunNotOpen(f"run {call.run} is not open here: open it and replay its events")
        if call.epoch < run.epoch:
            raise StaleEpoch(f"epoch {run.epoch} has the run", epoch=str(run.epoch))
        if call.epoch > run.epoch:
            raise RunNotOpen(f"run {call.run} was opened by epoch {run.epoch}: open it again")
        return run


def _alone(run: _OpenRun, work: Callable[[], Answer], deadline_s: float) -> Answer:
    """Run `work` in the run's own thread. Raises: CallInFlight while an earlier call is still at it."""
    if not run.in_flight.acquire(blocking=False):
        raise CallInFlight("another call of this run is in flight")
    try:
        future = run.thread.submit(work)
    except RuntimeError as error:
        run.in_flight.release()
        raise RunNotOpen("the run was closed meanwhile") from error
    # Released when the work ends, which may be after this call has given up.
    future.add_done_callback(lambda _: run.in_flight.release())
    return _result(future, deadline_s)


def _result(future: Future[Answer], deadline_s: float) -> Answer:
    try:
        return future.result(timeout=deadline_s)
    except TimeoutError:
        if future.done():  # the user's code raised it
            raise
        raise DeadlineExceeded(f"no answer within {deadline_s:g} s") from None


def _deadline_s(context: grpc.ServicerContext) -> float:
    """Raises: InvalidRequest where the caller set none; the server then sees an endless one."""
    left = context.time_remaining()
    if left is None or left > LONGEST_DEADLINE_S:
        raise InvalidRequest("deadline", "every call needs one of at most a day")
    return max(left, 0.0)


def _check_seq(call: pb.Call, run: _OpenRun) -> None:
    if call.log_seq != run.applied_seq:
        raise SequenceGap(run.applied_seq, f"the log stands at {call.log_seq}, events up to {run.applied_seq} came")
