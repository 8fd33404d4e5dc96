"""`python -m neunets_random`, started by the engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

from neunets.canonical import canonical_hash
from neunets.draws import generator
from neunets.graph import Graph
from neunets.spaces import ChainSpace
from neunets.synthesizer import (
    Assessment,
    Budget,
    Candidate,
    Description,
    Event,
    Exhausted,
    Injected,
    Problem,
    Proposals,
    Proposed,
    serve,
)

# Redraws before the space counts as empty; passes that a run should afford.
DRAWS, PASSES = 100, 16


class RandomSearch:
    def describe(self) -> Description:
        return Description("random", "0.1.0", "Random search over chains.", hears_injected=True, max_batch=64)

    def open(self, problem: Problem, settings: Mapping[str, object], seed: int) -> RandomRun:
        return RandomRun(problem, seed)


class RandomRun:
    """Candidate k depends on the seed, k and the candidates before it: a replay of the log restores everything."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._problem, self._seed = problem, seed
        self._seen: Counter[str] = Counter()
        self._space(None)  # refuses what cannot be done, at once

    def propose(self, want: int, budget: Budget) -> Proposals | Exhausted:
        space, drawn, fresh = self._space(budget), self._seen.total(), dict[str, Graph]()
        for number in range(drawn, drawn + want):
            draws = (space.sample(generator(self._seed, number, draw)) for draw in range(DRAWS))
            options = draws if number else chain([space.standard()], draws)
            hashed = ((canonical_hash(graph), graph) for graph in options)
            new = (each for each in hashed if each[0] not in self._seen and each[0] not in fresh)
            digest, graph = next(new, ("", None))
            if graph is None:
                break
            fresh[digest] = graph
        found = tuple(Candidate(graph, rationale="standard, then independent draws") for graph in fresh.values())
        return Proposals(found) if found else Exhausted("every network of the space was tried")

    def ingest(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Proposed):
                self._seen.update(canonical_hash(each.graph) for _, each in event.candidates if each.graph)
            elif isinstance(event, Injected) and event.candidate.graph:
                self._seen.update([canonical_hash(event.candidate.graph)])

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        return Assessment(reason=f"{self._seen.total()} networks drawn")

    def _space(self, budget: Budget | None) -> ChainSpace:
        problem = self._problem
        most_flops = problem.max_flops if budget is None else budget.most_flops(PASSES, problem)
        return ChainSpace(problem.input, problem.classes, problem.max_params, most_flops)


if __name__ == "__main__":
    raise SystemExit(serve(RandomSearch()))
