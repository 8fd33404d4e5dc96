"""What goes wrong with opening and proposing. Called in place of a method that keeps the law."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import Any

import grpc
from google.protobuf.unknown_fields import UnknownFieldSet

from conform.climbing import ClimbingRun, promoted
from conform.ladder import LadderRun, rung
from conform.widening import WideningRun, best
from neunets.graph import Node
from neunets.morphisms import Widen
from neunets.synthesizer import Candidate, Problem, Recipe
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

Due = Callable[..., Any]
WIDE = 2_000
SOON_S, LATER_S = 0.005, 0.2


class Bug(Exception):
    """Of a plugin's own code."""


# Describe and Register


def describes_slowly(facade: Any, due: Due, request: Any, context: Any) -> Any:
    """The first time."""
    if not facade.memory.setdefault("described", False):
        facade.memory["described"] = True
        Event().wait(5.5)
    return due(request, context)


def describes_differently(facade: Any, due: Due, request: Any, context: Any) -> Any:
    """The second time."""
    facade.memory["described"] = facade.memory.get("described", 0) + 1
    answer = due(request, context)
    if facade.memory["described"] == 2:
        answer.summary += " Or two."
    return answer


def bad_schema(description: pb.DescribeResponse) -> None:
    description.settings_schema_json = '{"type": 7}'


def bad_name(description: pb.DescribeResponse) -> None:
    description.name = "The_Ladder"


def no_batch(description: pb.DescribeResponse) -> None:
    description.max_batch = 0


def unknown_op(description: pb.DescribeResponse) -> None:
    description.graph_ops.append("teleport")


def undeclared_op(description: pb.DescribeResponse) -> None:
    description.graph_ops.remove("conv")


def declares_snapshot(description: pb.DescribeResponse) -> None:
    description.capabilities.append(pb.CAPABILITY_SNAPSHOT)


def undeclared_inheritance(description: pb.DescribeResponse) -> None:
    description.capabilities.remove(pb.CAPABILITY_WEIGHT_INHERITANCE)


def undeclared_continuation(description: pb.DescribeResponse) -> None:
    description.capabilities.remove(pb.CAPABILITY_CONTINUATION)


def registers_another(request: pb.RegisterRequest) -> None:
    request.self.version = "0.0.0"


# Open and Close


def remembers(facade: Any, due: Due, request: Any, context: Any) -> Any:
    """The runs that were opened, with their epochs, newest last."""
    answer = due(request, context)
    facade.memory.setdefault(request.call.run, []).append(request.call.epoch)
    return answer


def opens_without_input(facade: Any, due: Due, request: Any, context: Any) -> Any:
    has_input = not request.HasField("problem") or request.problem.HasField("input")
    return due(request, context) if has_input else pb.OpenResponse()


def takes_any_setting(facade: Any, due: Due, request: Any, context: Any) -> Any:
    answer = due(request, context)
    answer.ClearField("diagnostics")
    return answer


def takes_any_task(facade: Any, due: Due, request: Any, context: Any) -> Any:
    if request.problem.task:
        request.problem.task = "image-classification"
    return due(request, context)


def opens_to_validate(facade: Any, due: Due, request: Any, context: Any) -> Any:
    request.validate_only = False
    return due(request, context)


def opens_once(facade: Any, due: Due, request: Any, context: Any) -> Any:
    """Until it is closed."""
    key = (request.call.run, request.call.epoch)
    if key in facade.memory and not request.validate_only:
        return pb.OpenResponse(applied_seq=1)
    answer = due(request, context)
    if not request.validate_only:
        facade.memory[key] = True
    return answer


def forgets(facade: Any, due: Due, request: Any, context: Any) -> Any:
    facade.memory.pop((request.call.run, request.call.epoch), None)
    return due(request, context)


def closes_once(facade: Any, due: Due, request: Any, context: Any) -> Any:
    if facade.memory.pop(request.call.run, None) is None:
        context.abort(grpc.StatusCode.NOT_FOUND, "there is no such run")
    return due(request, context)


def never_closes(facade: Any, due: Due, request: Any, context: Any) -> Any:
    return pb.CloseResponse()


def keeps_through_epochs(facade: Any, due: Due, request: Any, context: Any) -> Any:
    before = facade.memory.setdefault(request.call.run, request.call.epoch)
    return due(request, context) if request.call.epoch <= before else pb.OpenResponse(applied_seq=1)


def fails_on_unknown_field(facade: Any, due: Due, request: Any, context: Any) -> Any:
    if len(UnknownFieldSet(request)):
        raise Bug("unknown field")
    return due(request, context)


# Propose


def unnamed_field(facade: Any, due: Due, request: Any, context: Any) -> Any:
    if not request.call.request_id:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "something is missing")
    return due(request, context)


def takes_older_epochs(facade: Any, due: Due, request: Any, context: Any) -> Any:
    request.call.epoch = facade.memory.get(request.call.run, [request.call.epoch])[-1]
    return due(request, context)


def takes_the_last_epoch(facade: Any, due: Due, request: Any, context: Any) -> Any:
    epochs = facade.memory.get(request.call.run, [])
    if request.call.epoch in epochs:
        request.call.epoch = epochs[-1]
    return due(request, context)


def one_too_many(facade: Any, due: Due, request: Any, context: Any) -> Any:
    """Where 7 are wanted."""
    answer = due(request, context)
    if request.want == 7:
        answer.proposals.candidates.append(answer.proposals.candidates[0])
    return answer


def exceeds_beyond_batch(facade: Any, due: Due, request: Any, context: Any) -> Any:
    """Where one more than its batch of 16 is wanted."""
    answer = due(request, context)
    if request.want == 17:
        answer.proposals.candidates.append(answer.proposals.candidates[0])
    return answer


def answers_differently(facade: Any, due: Due, request: Any, context: Any) -> Any:
    """The second time that the same three are wanted."""
    answer = due(request, context)
    key = (request.call.request_id, request.call.log_seq)
    if request.want == 3 and key in facade.memory:
        del answer.proposals.candidates[-1]
    facade.memory[key] = True
    return answer


def fails_on_reuse(facade: Any, due: Due, request: Any, context: Any) -> Any:
    if facade.memory.setdefault(request.call.request_id, request.want) != request.want:
        raise Bug("there were more candidates before")
    return due(request, context)


def at_any_seq(facade: Any, due: Due, request: Any, context: Any) -> Any:
    run = facade.servicer._runs.get(request.call.run)
    request.call.log_seq = run.applied_seq if run else 0
    return due(request, context)


def lost_by_deadline(facade: Any, due: Due, request: Any, context: Any) -> Any:
    if context.time_remaining() < 1.0:
        facade.memory[request.call.run] = "lost"
    if request.call.run in facade.memory:
        raise Bug("a call was interrupted")
    return due(request, context)


def lost_by_cancel(facade: Any, due: Due, request: Any, context: Any) -> Any:
    if request.want == 7 and context.time_remaining() > 1.0 and request.call.run not in facade.memory:
        Event().wait(LATER_S)
        if not context.is_active():
            facade.memory[request.call.run] = "lost"
    if facade.memory.get(request.call.run) == "lost":
        raise Bug("a call was interrupted")
    return due(request, context)


def fails_in_flight(facade: Any, due: Due, request: Any, context: Any) -> Any:
    return _crowded(facade, due, request, context, request.call.run, 1)


def fails_in_a_crowd(facade: Any, due: Due, request: Any, context: Any) -> Any:
    return _crowded(facade, due, request, context, "all", 6)


def _crowded(facade: Any, due: Due, request: Any, context: Any, key: str, most: int) -> Any:
    with facade.lock:
        facade.memory[key] = facade.memory.get(key, 0) + 1
    try:
        Event().wait(SOON_S)
        if facade.memory[key] > most:
            raise Bug("too many calls at once")
        return due(request, context)
    finally:
        with facade.lock:
            facade.memory[key] -= 1


def impatient(facade: Any, due: Due, request: Any, context: Any) -> Any:
    key = (request.call.run, request.call.epoch)
    now, before = time.monotonic(), facade.memory.get(key, math.inf)
    facade.memory[key] = now
    if now - before > 1.5:
        raise Bug("nobody has called for so long")
    return due(request, context)


# Candidates: of number k


def breaks_off(k: int, candidate: Candidate, problem: Problem) -> Candidate:
    if k == 90:
        raise Bug("no more rungs")
    return candidate


def dead_node(k: int, candidate: Candidate, problem: Problem) -> Candidate:
    if k != 90:
        return candidate
    dead = Node("dead", "identity", (problem.input.name,))
    return replace(candidate, graph=replace(candidate.graph, nodes=(dead, *candidate.graph.nodes)))


def too_large(k: int, candidate: Candidate, problem: Problem) -> Candidate:
    return rung(problem, WIDE) if k == 20 else candidate


def wild_recipe(k: int, candidate: Candidate, problem: Problem) -> Candidate:
    return replace(candidate, recipe=Recipe(learning_rate=1e9)) if k == 90 else candidate


def proposes_twice(k: int, candidate: Candidate, problem: Problem) -> Candidate:
    return rung(problem, 5) if k == 90 else candidate


def unknown_parent(k: int, candidate: Candidate, problem: Problem) -> Candidate:
    return replace(candidate, parents=("c999999",)) if k == 90 else candidate


def heirs_of_failures(run: WideningRun) -> str | None:
    return run.failed[-1] if run.failed and len(run.candidates) > 50 else best(run)


def heirs_of_the_living(run: WideningRun) -> str | None:
    """Those that train still."""
    ended = {*run.fitness, *run.failed}
    training = [name for name in run.candidates if name not in ended]
    return training[-1] if training and len(run.candidates) > 50 else best(run)


def continues_failures(run: ClimbingRun) -> list[str]:
    return [*(run.failed[-1:] if len(run.candidates) > 50 else ()), *promoted(run)]


def continues_the_living(run: ClimbingRun) -> list[str]:
    """Those that train still."""
    return [*(run.running()[-1:] if len(run.candidates) > 50 else ()), *promoted(run)]


def continues_twice(run: ClimbingRun) -> list[str]:
    found = promoted(run)
    return [*found[:1], *found] if len(run.candidates) > 50 else found


def no_larger_total(k: int, candidate: Candidate, problem: Problem) -> Candidate:
    """What the trial has had already."""
    if candidate.recipe.resume_trial is None or k < 50:
        return candidate
    return replace(candidate, recipe=replace(candidate.recipe, epochs=1.0))


def missing_node(k: int, candidate: Candidate, problem: Problem) -> Candidate:
    return replace(candidate, graph=None, lineage=(Widen("teleport", k + 1),)) if k == 90 else candidate


def told_twice(k: int, candidate: Candidate, problem: Problem) -> Candidate:
    """And not the same."""
    return replace(candidate, graph=rung(problem, k + 2).graph) if k == 90 else candidate


def many_labels(k: int, candidate: Candidate, problem: Problem) -> Candidate:
    return replace(candidate, labels={f"label-{n}": "x" for n in range(17)}) if k == 90 else candidate


def long_strings(k: int, candidate: Candidate, problem: Problem) -> Candidate:
    return replace(candidate, rationale="because " * 40) if k == 40 else candidate


def depends_on_its_process(k: int, candidate: Candidate, problem: Problem) -> Candidate:
    return rung(problem, k * 40 + os.getpid() % 40 + 1)


def mixes_runs(run: LadderRun) -> int:
    """What others have seen counts, too."""
    return sum(other.events for other in run.ladder.runs if other.seed != run.seed) % 7
