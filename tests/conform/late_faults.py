"""What goes wrong with results, verdicts, checkpoints and the host. Called in place of a method that keeps the law."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from threading import Event
from typing import Any

import grpc

from conform.faults import Bug, Due
from neunets.errors import BadCheckpoint, SequenceGap
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

State = pb.TrialEnded.State
VERDICT = pb.AssessResponse.Verdict


# Ingest


def ingests_without_run(facade: Any, due: Due, request: Any, context: Any) -> Any:
    return due(request, context) if request.call.run else pb.IngestResponse(applied_seq=1)


def counts_repeats(facade: Any, due: Due, request: Any, context: Any) -> Any:
    key = (request.call.run, request.events[0].seq, len(request.events))
    facade.memory[key] = facade.memory.get(key, -1) + 1
    answer = due(request, context)
    answer.applied_seq += facade.memory[key] if len(request.events) == 2 else 0
    return answer


def refuses_overlap(facade: Any, due: Due, request: Any, context: Any) -> Any:
    applied = request.call.log_seq
    if request.events[0].seq <= applied < request.events[-1].seq:
        raise SequenceGap(applied, "that was sent before")
    return due(request, context)


def leaps_gaps(facade: Any, due: Due, request: Any, context: Any) -> Any:
    if request.events[0].seq > request.call.log_seq + 1 and request.call.run.startswith("ingest"):
        return pb.IngestResponse(applied_seq=request.events[-1].seq)
    return due(request, context)


def fails_on_stopped(facade: Any, due: Due, request: Any, context: Any) -> Any:
    return _unless(any(_ends(request, State.STATE_STOPPED)), due, request, context)


def fails_on_nan(facade: Any, due: Due, request: Any, context: Any) -> Any:
    values = [value for event in request.events for value in event.ended.metrics.values()]
    return _unless(any(map(math.isnan, values)), due, request, context)


def fails_on_retry(facade: Any, due: Due, request: Any, context: Any) -> Any:
    return _unless(any(event.ended.will_retry for event in request.events), due, request, context)


def fails_without_success(facade: Any, due: Due, request: Any, context: Any) -> Any:
    facade.memory[request.call.run] = facade.memory.get(request.call.run, 0) + sum(_ends(request, State.STATE_FAILED))
    return _unless(facade.memory[request.call.run] > 4, due, request, context)


def fails_on_rejection(facade: Any, due: Due, request: Any, context: Any) -> Any:
    return _unless(any(event.HasField("rejected") for event in request.events), due, request, context)


def fails_on_unknown_event(facade: Any, due: Due, request: Any, context: Any) -> Any:
    unknown = any(event.WhichOneof("event") is None for event in request.events)
    is_open = bool(request.call.run) and request.call.epoch == 3 and request.events[0].seq > 1
    return _unless(unknown and is_open, due, request, context)


def fails_on_unknown_enum(facade: Any, due: Due, request: Any, context: Any) -> Any:
    unknown = any(event.ended.state not in State.values() for event in request.events)
    return _unless(unknown, due, request, context)


def _ends(request: Any, state: Any) -> list[bool]:
    return [event.ended.state == state for event in request.events if event.HasField("ended")]


def _unless(fails: bool, due: Due, request: Any, context: Any) -> Any:
    if fails:
        raise Bug("nobody has thought of that")
    return due(request, context)


def replays_slowly(facade: Any, due: Due, request: Any, context: Any) -> Any:
    """A run that was not the first of its kind."""
    if request.call.run.endswith("-2"):
        Event().wait(0.002 * len(request.events))
    return due(request, context)


def leaks(facade: Any, due: Due, request: Any, context: Any) -> Any:
    count = sum(event.HasField("ended") for event in request.events)
    facade.memory.setdefault("kept", []).append(os.urandom(count << 16))
    return due(request, context)


# Assess


def assesses_without_run(facade: Any, due: Due, request: Any, context: Any) -> Any:
    return due(request, context) if request.call.run else pb.AssessResponse(verdict=VERDICT.VERDICT_CONTINUE)


def foreign_domain(facade: Any, due: Due, request: Any, context: Any) -> Any:
    if request.call.run and request.call.run not in facade.memory:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_OPEN")
    return due(request, context)


def no_first_verdict(facade: Any, due: Due, request: Any, context: Any) -> Any:
    answer = due(request, context)
    if request.call.log_seq == 0 and request.budget.trials_left:
        answer.verdict = VERDICT.VERDICT_UNSPECIFIED
    return answer


def one_verdict(facade: Any, due: Due, request: Any, context: Any) -> Any:
    answer = due(request, context)
    key = (request.call.run, request.call.log_seq, request.budget.SerializeToString())
    if key in facade.memory:
        answer.verdict = VERDICT.VERDICT_UNSPECIFIED
    facade.memory[key] = True
    return answer


def more_than_done(facade: Any, due: Due, request: Any, context: Any) -> Any:
    answer = due(request, context)
    answer.progress = 1.5
    return answer


def divides_by_budget(facade: Any, due: Due, request: Any, context: Any) -> Any:
    answer = due(request, context)
    answer.progress = min(1.0, 0.1 / request.budget.wall_s)
    return answer


def counts_assessments(facade: Any, due: Due, request: Any, context: Any) -> Any:
    answer = due(request, context)
    facade.servicer._runs[request.call.run].session.count += 1
    return answer


def fails_in_the_second_repetition(facade: Any, due: Due, request: Any, context: Any) -> Any:
    return _unless("-1-" in request.call.run, due, request, context)


def stops_strangers(facade: Any, due: Due, request: Any, context: Any) -> Any:
    answer = due(request, context)
    answer.stop.add(trial="t999999", reason="it is hopeless")
    return answer


def gives_rule(**fields: Any) -> Callable[..., Any]:
    """`fields`: in place of those of a rule that keeps the law."""
    due_rule: dict[str, Any] = {"metric": "valid_accuracy", "epoch": 1.0, "at_least": 0.2, "reason": "it is hopeless"}
    rule = pb.StopRule(**(due_rule | fields))

    def assesses(facade: Any, due: Due, request: Any, context: Any) -> Any:
        answer = due(request, context)
        answer.rules.append(rule)
        return answer

    return assesses


# Checkpoints and the host


def silent_snapshot(facade: Any, due: Due, request: Any, context: Any) -> Any:
    return iter(())


def hands_out(facade: Any, due: Due, request: Any, context: Any) -> Any:
    """A checkpoint that nobody needs to read, since the replay is cheap."""
    answer = due(request, context)
    answer.checkpoint.CopyFrom(pb.Checkpoint(seq=answer.applied_seq, format="ladder", inline=b"{}"))
    return answer


def wrong_checkpoint(facade: Any, due: Due, request: Any, context: Any) -> Any:
    if not request.HasField("checkpoint"):
        return due(request, context)
    if request.checkpoint.inline != b"{}":
        raise BadCheckpoint("that is not a checkpoint of this plugin")
    return pb.OpenResponse(applied_seq=request.checkpoint.seq + 1)


def lost_without_host(facade: Any, due: Due, request: Any, context: Any) -> Any:
    if facade.memory.get("lease") == "lost":
        raise Bug("the host is gone")
    return due(request, context)
