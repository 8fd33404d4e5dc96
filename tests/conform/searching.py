"""`python -m conform.searching --flaw NAME`: a plugin that searches by small steps, or breaks one law of quality."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev

from neunets.canonical import canonical_hash
from neunets.draws import generator
from neunets.simulation import RECORDED_SPACES
from neunets.spaces import Configuration, Designs
from neunets.synthesizer import (
    Assessment,
    Budget,
    Candidate,
    Description,
    Event,
    Measured,
    Prediction,
    Problem,
    Proposals,
    Proposed,
    StopTrial,
    TrialEnded,
    TrialStarted,
    serve,
)

# Drawn before it steps; of the trained, those that it steps from; of its candidates, those that are drawn all the same.
FIRST, BEST, DRAWN = 8, 3, 0.2
DRAWS = 20
NO_FLAW = "none"
# By the check that finds it.
FLAWS = {
    "walks-downhill": "quality/beats-random",
    "random-in-disguise": "quality/learns",
    "repeats-itself": "quality/waste",
    "too-certain": "quality/predictions",
    "stops-all": "quality/stops",
}
CERTAIN = 1e-4


class Searching:
    def __init__(self, flaw: str) -> None:
        self._flaw = flaw

    def describe(self) -> Description:
        return Description("searching", "0.1.0", "Small steps from the best.", stops_trials=True, predicts=True)

    def open(self, problem: Problem, settings: Mapping[str, object], seed: int) -> SearchingRun:
        return SearchingRun(problem, seed, self._flaw)


class SearchingRun:
    def __init__(self, problem: Problem, seed: int, flaw: str) -> None:
        self._designs = Designs.of(problem, RECORDED_SPACES, ("constant",), problem.max_flops)
        self._problem, self._seed, self._flaw = problem, seed, flaw
        self._asked: dict[str, Configuration] = {}
        self._values: dict[str, float] = {}
        self._measured: set[str] = set()
        self._candidates: dict[str, str] = {}
        self._known: set[str] = set()

    def propose(self, want: int, budget: Budget) -> Proposals:
        known = set(self._known)
        return Proposals(tuple(self._candidate(len(self._asked) + number, known) for number in range(want)))

    def ingest(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Proposed(candidates):
                    self._asked |= {name: self._designs.read(each.labels) for name, each in candidates}
                    self._known |= {canonical_hash(each.graph) for _, each in candidates if each.graph is not None}
                case TrialStarted(candidate, trial):
                    self._candidates[trial] = candidate
                case Measured(trial):
                    self._measured.add(trial)
                case TrialEnded(candidate, trial, metrics=metrics):
                    self._measured.discard(trial)
                    self._values[candidate] = metrics.get(self._problem.metric, 0.0)

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        best = max(self._values.values(), default=0.0)
        hopeless = [trial for trial in running if trial in self._measured and self._flaw == "stops-all"]
        return Assessment(stop=tuple(StopTrial(trial, "far behind", best) for trial in hopeless))

    def _candidate(self, number: int, known: set[str]) -> Candidate:
        """A network that is none of `known`, to which it is added."""
        chosen = self._chosen(number, 0)
        if self._flaw == "repeats-itself" and number % 2 and self._asked:
            chosen = list(self._asked.values())[-1]
        else:
            for draw in range(DRAWS):
                chosen = self._chosen(number, draw)
                if canonical_hash(self._designs.graph(chosen)) not in known:
                    break
        graph, recipe = self._designs.graph(chosen), self._designs.recipe(chosen)
        known.add(canonical_hash(graph))
        values = [each for each in self._values.values() if math.isfinite(each)] or [0.5]
        deviation = CERTAIN if self._flaw == "too-certain" else max(pstdev(values), 0.1)
        said = Prediction(fmean(values), deviation)
        return Candidate(graph, recipe, "a step", labels=self._designs.labels(chosen), prediction=said)

    def _chosen(self, number: int, draw: int) -> Configuration:
        rng = generator(self._seed, number, draw)
        sign = 1.0 if self._flaw == "walks-downhill" else -1.0
        best = sorted(self._values, key=lambda name: sign * self._values[name])[:BEST]
        is_random = self._flaw == "random-in-disguise" or len(self._values) < FIRST or rng.random() < DRAWN
        if is_random:
            return self._designs.parameters.sample(rng)
        return self._designs.parameters.mutate(self._asked[best[int(rng.integers(len(best)))]], rng)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flaw", default=NO_FLAW, choices=[NO_FLAW, *FLAWS])
    raise SystemExit(serve(Searching(parser.parse_args().flaw)))
