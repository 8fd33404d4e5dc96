"""An evolution as the engine drives it, with results that nobody has trained for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import strategies as st

from neunets.canonical import canonical_hash
from neunets.graph import DataType, Graph, Input
from neunets.morphisms import derive
from neunets.synthesizer import (
    Budget,
    Candidate,
    Event,
    Problem,
    Proposals,
    Proposed,
    TrialEnded,
    TrialStarted,
    TrialState,
    wire,
)
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_ncevolve.evolution import Evolution, NCEvolve

__all__ = ["BUDGET", "PIXELS", "SEEDS", "Drive", "inputs", "opened", "problem_of"]

PIXELS = Input("image", (28, 28, 1), DataType.UINT8, (73.0,), (90.0,))
BUDGET = Budget(slots=2)
SEEDS = st.integers(0, 2**64 - 1)


@st.composite
def inputs(draw: st.DrawFn, low: int = 1, high: int = 80) -> Input:
    """Images and sequences."""
    axes, channels = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    extents = draw(st.tuples(*[st.integers(low, high)] * axes))
    name = "image" if axes == 2 else "sequence"
    return Input(name, (*extents, channels), DataType.FLOAT32, (0.0,) * channels, (1.0,) * channels)


def problem_of(source: Input = PIXELS, max_params: int | None = None, rows: int = 1000, **fields: int) -> Problem:
    task = "image-classification" if len(source.shape) == 3 else "sequence-classification"
    return Problem(task, source, 3, rows, 100, max_params, **fields)


def opened(problem: Problem, seed: int = 0, **settings: object) -> Evolution:
    return NCEvolve().open(problem, settings, seed)


class Drive:
    """One run. `log`: all its events; `graphs`: of all candidates that were admitted."""

    def __init__(self, run: Evolution) -> None:
        self.run = run
        self.log: list[Event] = []
        self.graphs: dict[str, Graph] = {}
        self.candidates: dict[str, Candidate] = {}

    def ingest(self, *events: Event) -> None:
        self.log += events
        self.run.ingest(events)

    def propose(self, want: int, budget: Budget = BUDGET) -> list[str]:
        """The ids of what is proposed, echoed as the engine does; none where there is nothing to propose."""
        answer = self.run.propose(want, budget)
        if not isinstance(answer, Proposals):
            return []
        names = [self._echoed(candidate) for candidate in answer.candidates]
        self.ingest(Proposed(tuple((name, self.candidates[name]) for name in names)))
        return names

    def end(self, name: str, fitness: float | None = None, state: TrialState = TrialState.SUCCEEDED) -> None:
        """A trial of the candidate; its fitness hangs on its network, where none is given."""
        value = int(canonical_hash(self.graphs[name])[:8], 16) / 2**32 if fitness is None else fitness
        metrics: Mapping[str, float] = {"valid_accuracy": value, "images_per_s": 5000.0}
        trial = f"t{name[1:]}"
        self.ingest(TrialStarted(name, trial, 1), TrialEnded(name, trial, state, metrics, 2.0, False))

    def search(self, count: int, budget: Budget = BUDGET) -> list[Candidate]:
        """Proposed one by one, each trained before the next; at most so many."""
        found = list[Candidate]()
        while len(found) < count and (names := self.propose(1, budget)):
            found.append(self.candidates[names[0]])
            self.end(names[0])
        return found

    def _echoed(self, candidate: Candidate) -> str:
        name = f"c{len(self.candidates) + 1:06d}"
        sent = wire.candidate_to_proto(candidate).SerializeToString()
        parsed = wire.candidate_from_proto(synthesizer_pb2.Candidate.FromString(sent))
        if parsed.lineage:
            parsed = replace(parsed, graph=derive(self.graphs[parsed.parents[0]], parsed.lineage))
        assert parsed.graph is not None
        self.candidates[name], self.graphs[name] = parsed, parsed.graph
        return name
