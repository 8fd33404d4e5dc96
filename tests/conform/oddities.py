"""What plugins may do although not all do: the kit has to let them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

from google.protobuf.message import DecodeError

from conform.ladder import LadderRun, rung
from neunets.errors import BadCheckpoint, Busy
from neunets.synthesizer import Candidate, Exhausted, Problem, Wait
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

Due = Callable[..., Any]
RUNGS = 5
SLOT = "open run"


def waits(run: LadderRun) -> Wait | None:
    """A generation ends before the next begins."""
    return Wait("a candidate trains", min_new_results=run.pending, after_s=0.05) if run.pending else None


def thinks(run: LadderRun) -> None:
    """Longer than the shortest deadlines of the kit, where a run begins."""
    if run.count == 0:
        Event().wait(0.08)


def exhausts(run: LadderRun) -> Exhausted | None:
    return Exhausted("the ladder is short") if run.count >= RUNGS else None


def is_not_deterministic(description: pb.DescribeResponse) -> None:
    description.ClearField("capabilities")


def declares_much(description: pb.DescribeResponse) -> None:
    """What it may do it need not."""
    description.capabilities.extend((pb.CAPABILITY_WEIGHT_INHERITANCE, pb.CAPABILITY_CONTINUATION))
    declares_stops_and_rules(description)


def declares_stops(description: pb.DescribeResponse) -> None:
    description.capabilities.append(pb.CAPABILITY_STOP_TRIALS)


def declares_rules(description: pb.DescribeResponse) -> None:
    description.capabilities.append(pb.CAPABILITY_STOP_RULES)


def declares_stops_and_rules(description: pb.DescribeResponse) -> None:
    declares_stops(description)
    declares_rules(description)


def ends_early(facade: Any, due: Due, request: Any, context: Any) -> Any:
    """The first one that trains, and whoever is not much better than chance."""
    answer = due(request, context)
    for trial in request.running_trials[:1]:
        answer.stop.add(trial=trial, reason="it is hopeless")
    answer.rules.add(metric="valid_accuracy", epoch=1.0, at_least=0.2, reason="chance is no worse")
    return answer


def surprises(k: int, candidate: Candidate, problem: Problem) -> Candidate:
    """Never twice: each rung stands for two networks."""
    return rung(problem, 2 * k + random.randrange(2) + 1)


def opens_one_run(description: pb.DescribeResponse) -> None:
    description.max_open_runs = 1


def opens_one(facade: Any, due: Due, request: Any, context: Any) -> Any:
    others = set(facade.memory.get(SLOT, ())) - {request.call.run}
    if others and not request.validate_only:
        raise Busy("another run is open")
    answer = due(request, context)
    if not request.validate_only:
        facade.memory[SLOT] = {request.call.run}
    return answer


def closes_one(facade: Any, due: Due, request: Any, context: Any) -> Any:
    answer = due(request, context)
    if request.call.run not in facade.servicer._runs:
        facade.memory.get(SLOT, set()).discard(request.call.run)
    return answer


def hands_out_events(facade: Any, due: Due, request: Any, context: Any) -> Any:
    """A checkpoint that is simply the log."""
    answer = due(request, context)
    log = facade.memory.setdefault(request.call.run, {})
    log.update((event.seq, event) for event in request.events)
    answer.checkpoint.CopyFrom(_checkpoint(facade, request.call.run, answer.applied_seq))
    return answer


def snapshots(facade: Any, due: Due, request: Any, context: Any) -> Iterator[pb.SnapshotResponse]:
    log = facade.memory.get(request.call.run, {})
    yield pb.SnapshotResponse(data=_checkpoint(facade, request.call.run, max(log, default=0)).inline)


def reads_checkpoints(facade: Any, due: Due, request: Any, context: Any) -> Any:
    answer = due(request, context)
    if not request.HasField("checkpoint") or request.validate_only:
        return answer
    try:
        log = pb.IngestRequest.FromString(request.checkpoint.inline)
    except DecodeError as error:
        raise BadCheckpoint(f"no log: {error}") from error
    log.call.CopyFrom(request.call)
    return pb.OpenResponse(applied_seq=facade.servicer.Ingest(log, context).applied_seq)


def _checkpoint(facade: Any, run: str, seq: int) -> pb.Checkpoint:
    log = facade.memory.get(run, {})
    events = [log[number] for number in range(1, seq + 1)]
    # A log of many events is too large; it is the engine's to keep.
    inline = pb.IngestRequest(events=events).SerializeToString() if seq < 100 else b""
    return pb.Checkpoint(seq=seq, format="log", inline=inline)
