"""Candidates with lineages, and a run without a plugin in which trials have ended in several ways."""

from __future__ import annotations

from typing import NoReturn

from conform.ladder import rung
from neunets.conform.drive import Run
from neunets.conform.events import State
from neunets.conform.exchange import Exchange
from neunets.conform.problem import problem_of
from neunets.graph import Graph
from neunets.lineage import lineage_to_proto
from neunets.morphisms import Deepen, Morphism, Widen
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.synthesizer.wire import problem_from_proto
from neunets.wire import graph_to_proto

__all__ = ["DEEPER", "GIVEN", "NARROWEST", "PROBLEM", "WIDER", "child", "made", "network", "root", "unplugged"]

PROBLEM = problem_of("image-classification")
GIVEN = problem_from_proto(PROBLEM)
NARROWEST = 4
WIDER, DEEPER = Widen("conv", 12), Deepen("relu")
# Of the first candidates; a fifth one still trains, and the sixth is the first one again.
ENDS = (State.STATE_SUCCEEDED, State.STATE_STOPPED, State.STATE_FAILED, State.STATE_LOST)


def network(channels: int = NARROWEST) -> Graph:
    graph = rung(GIVEN, channels).graph
    assert graph is not None
    return graph


def root(channels: int) -> pb.Candidate:
    return pb.Candidate(graph=graph_to_proto(network(channels)))


def child(*lineage: Morphism, of: str = "c000001", graph: Graph | None = None) -> pb.Candidate:
    message = None if graph is None else graph_to_proto(graph)
    return pb.Candidate(parents=[of], lineage=lineage_to_proto(lineage), graph=message)


def made(problem: pb.Problem = PROBLEM) -> Run:
    """Of c000001 … c000005, each a channel wider: trained, stopped, failed, lost for now, in training."""
    run = unplugged(problem)
    *ended, training = run.admit("first", [root(NARROWEST + number) for number in range(len(ENDS) + 1)])
    for name, state in zip(ended, ENDS, strict=True):
        run.log.ended(run.log.started(name), state, will_retry=state == State.STATE_LOST)
    run.log.started(training)
    run.admit("second", [root(NARROWEST)])
    return run


def unplugged(problem: pb.Problem = PROBLEM, seed: int = 1) -> Run:
    """A run in which nothing was proposed yet, and nobody can be asked."""
    opening = pb.OpenRequest(call=pb.Call(run="a"), problem=problem, seed=seed)
    return Run(Exchange(_no_plugin), opening, propose_s=1.0)


def _no_plugin() -> NoReturn:
    raise AssertionError("a call was made")
