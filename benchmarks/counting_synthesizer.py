"""A synthesizer that costs nothing to ask: candidate k is a chain of convolution blocks whose widths are k's digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from neunets.graph import Graph, Node
from neunets.synthesizer import (
    Assessment,
    Budget,
    Candidate,
    Description,
    Event,
    Exhausted,
    Problem,
    Proposals,
    Proposed,
    Recipe,
    serve,
)

BLOCKS, NARROWEST, WIDTHS = 4, 8, 57
RECIPE: Final = Recipe(epochs=1.0)


class Counting:
    def describe(self) -> Description:
        return Description("counting", "0.1.0", "Chains of blocks, one after another.", max_batch=64)

    def open(self, problem: Problem, settings: Mapping[str, object], seed: int) -> CountingRun:
        return CountingRun(problem)


class CountingRun:
    def __init__(self, problem: Problem) -> None:
        self._problem, self._proposed = problem, 0

    def propose(self, want: int, budget: Budget) -> Proposals | Exhausted:
        numbers = range(self._proposed, min(self._proposed + want, WIDTHS**BLOCKS))
        found = tuple(Candidate(self._network(number), RECIPE) for number in numbers)
        return Proposals(found) if found else Exhausted("every width was tried")

    def ingest(self, events: Sequence[Event]) -> None:
        self._proposed += sum(len(event.candidates) for event in events if isinstance(event, Proposed))

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        return Assessment(reason=f"{self._proposed} networks")

    def _network(self, number: int) -> Graph:
        nodes: list[Node] = []
        for block in range(BLOCKS):
            number, digit = divmod(number, WIDTHS)
            source = nodes[-1].name if nodes else self._problem.input.name
            nodes.append(Node(f"{block}/conv", "conv", (source,), {"channels": NARROWEST + digit, "kernel": 3}))
            nodes.append(Node(f"{block}/norm", "batch_norm", (f"{block}/conv",)))
            nodes.append(Node(f"{block}/relu", "activation", (f"{block}/norm",), {"function": "relu"}))
        nodes.append(Node("pool", "global_pool", (nodes[-1].name,), {"function": "avg"}))
        nodes.append(Node("logits", "linear", ("pool",), {"units": self._problem.classes}))
        return Graph(self._problem.input, tuple(nodes), "logits")


if __name__ == "__main__":
    raise SystemExit(serve(Counting()))
