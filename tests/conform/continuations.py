"""Candidates that continue trials, and a run without a plugin in which some can be continued."""

from __future__ import annotations

from typing import Any

from conform.lineages import NARROWEST, root, unplugged
from neunets.conform.drive import Run
from neunets.conform.events import State
from neunets.graph import Graph, Node
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.wire import graph_to_proto

__all__ = ["RATE", "TRIALS", "climbed", "continuation", "first", "renamed"]

RATE = 0.05
# How the trials t000001, … end; the last one is continued at once, and None still trains.
ENDS = (State.STATE_SUCCEEDED, State.STATE_STOPPED, State.STATE_FAILED, State.STATE_LOST, None, State.STATE_SUCCEEDED)
TRIALS = tuple(f"t{number:06d}" for number in range(1, len(ENDS) + 1))


def first(channels: int = NARROWEST) -> pb.Candidate:
    """Of one epoch."""
    candidate = root(channels)
    candidate.recipe.MergeFrom(pb.Recipe(epochs=1.0, learning_rate=RATE, schedule=pb.SCHEDULE_CONSTANT))
    return candidate


def continuation(of: str = TRIALS[0], graph: Graph | None = None, **recipe: Any) -> pb.Candidate:
    """`recipe`: its fields; without any, three epochs."""
    message = None if graph is None else graph_to_proto(graph)
    return pb.Candidate(graph=message, recipe=pb.Recipe(**(recipe or {"epochs": 3.0}), resume_trial=of))


def climbed() -> Run:
    """Of c000001 … c000006, each a channel wider, with a trial each; c000007 continues the last one, and waits."""
    run = unplugged()
    names = run.admit("first", [first(NARROWEST + number) for number in range(len(ENDS))])
    for trial, state in zip([run.log.started(name) for name in names], ENDS, strict=True):
        if state is not None:
            run.log.ended(trial, state, will_retry=state == State.STATE_LOST)
    run.admit("second", [continuation(TRIALS[-1])])
    return run


def renamed(graph: Graph) -> Graph:
    """The same network by other names."""
    names = {node.name: f"the {node.name}" for node in graph.nodes}
    nodes = tuple(
        Node(names[node.name], node.op, tuple(names.get(name, name) for name in node.inputs), node.attributes)
        for node in graph.nodes
    )
    return Graph(graph.input, nodes, names[graph.output])
