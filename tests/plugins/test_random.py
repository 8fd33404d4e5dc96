"""Random search draws candidate k from the seed, k and the log alone, so that a restart changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neunets_random.__main__ as program
from neunets.canonical import canonical_hash
from neunets.cost import cost
from neunets.errors import UnsupportedProblem
from neunets.graph import DataType, Input
from neunets.synthesizer import (
    Budget,
    Candidate,
    Event,
    Exhausted,
    Measured,
    Problem,
    Proposals,
    Proposed,
    Rejected,
    TrialEnded,
    TrialStarted,
    TrialState,
    wire,
)
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.validate import validate
from neunets_random.__main__ import RandomRun, RandomSearch

INPUTS = (
    Input("image", (12, 10, 1), DataType.UINT8, (33.0,), (78.5,)),
    Input("image", (24, 24, 3), DataType.UINT8, (120.0, 110.0, 100.0), (60.0, 61.0, 62.0)),
    Input("sequence", (40, 2), DataType.FLOAT32, (0.0, 0.5), (1.0, 2.0)),
)
BUDGETS = (Budget(slots=2), Budget(slots=2, wall_s=20.0), Budget(slots=1, trials=8))
SEEDS = st.integers(0, 2**64 - 1)
COUNT = 10
# Of one call: how many are asked for, how many of these are taken, and whether the run is rebuilt after it.
CALLS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), st.booleans()), min_size=COUNT, max_size=COUNT)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Some with a tight bound."""
    source = draw(st.sampled_from(INPUTS))
    task = "image-classification" if len(source.shape) == 3 else "sequence-classification"
    return Problem(task, source, draw(st.integers(2, 10)), 1000, 100, draw(st.sampled_from((None, 400, 5000))))


def over_the_wire(candidates: tuple[Candidate, ...], first: int) -> Proposed:
    """As the engine sends a run its own candidates back."""
    entries = []
    for number, candidate in enumerate(candidates, first):
        sent = wire.candidate_to_proto(candidate).SerializeToString()
        parsed = wire.candidate_from_proto(synthesizer_pb2.Candidate.FromString(sent))
        entries.append((f"c{number:06d}", parsed))
    return Proposed(tuple(entries))


def others(proposed: Proposed) -> list[Event]:
    """What happens to candidates after they were proposed."""
    first = proposed.candidates[0][0]
    return [
        Rejected(first, (("DUPLICATE", "graph", "as another"),)),
        TrialStarted(first, "t000001", 1),
        Measured("t000001", 1.0, {"valid_accuracy": 0.5}),
        TrialEnded(first, "t000001", TrialState.LOST, {"valid_accuracy": float("nan")}, 1.0, False),
    ]


def drawn(problem: Problem, seed: int, budget: Budget, calls: list[tuple[int, int, bool]]) -> list[Candidate]:
    run, log, candidates = RandomRun(problem, seed), list[Event](), list[Candidate]()
    for want, take, is_rebuilt in calls:
        answer = run.propose(want, budget)
        if isinstance(answer, Exhausted):
            break
        taken = answer.candidates[:take]
        proposed = over_the_wire(taken, len(candidates))
        candidates += taken
        events = [proposed, *others(proposed)]
        log += events
        run.ingest(events)
        if is_rebuilt:
            run = RandomRun(problem, seed)
            run.ingest(log)
    return candidates[:COUNT]


@settings(max_examples=40)
@given(problem=problems(), seed=SEEDS, budget=st.sampled_from(BUDGETS), calls=CALLS)
def test_a_replay_gives_the_same_candidates_in_the_same_order(
    problem: Problem, seed: int, budget: Budget, calls: list[tuple[int, int, bool]]
) -> None:
    assert drawn(problem, seed, budget, calls) == drawn(problem, seed, budget, [(COUNT, COUNT, False)])


@settings(max_examples=40)
@given(problem=problems(), seed=SEEDS, budget=st.sampled_from(BUDGETS))
def test_candidates_are_valid_different_and_within_the_bound(problem: Problem, seed: int, budget: Budget) -> None:
    graphs = [candidate.graph for candidate in drawn(problem, seed, budget, [(COUNT, COUNT, False)])]
    assert len(set(map(canonical_hash, graphs))) == len(graphs)
    for graph in graphs:
        validate(graph, classes=problem.classes, input=problem.input)
        assert problem.max_params is None or cost(graph).params <= problem.max_params


def test_asking_again_gives_the_same() -> None:
    run = RandomRun(Problem("image-classification", INPUTS[0], 3, 1000, 100), 5)
    first = run.propose(3, BUDGETS[0])
    run.assess(BUDGETS[0], ["t000001"])
    assert run.propose(3, BUDGETS[0]) == first


def test_seeds_search_differently() -> None:
    problem = Problem("image-classification", INPUTS[0], 3, 1000, 100)
    whole: list[Any] = [RandomRun(problem, seed).propose(5, BUDGETS[0]) for seed in range(3)]
    assert whole[0] != whole[1] != whole[2] != whole[0]


@pytest.mark.parametrize("more", [0, 1, 30])
def test_a_tiny_space_is_exhausted_without_a_repetition(more: int) -> None:
    with pytest.raises(UnsupportedProblem, match="at least") as caught:
        RandomSearch().open(Problem("image-classification", INPUTS[0], 3, 1000, 100, max_params=1), {}, 0)
    smallest = int(caught.value.message.rpartition(" ")[2])
    problem = Problem("image-classification", INPUTS[0], 3, 1000, 100, max_params=smallest + more)
    run = RandomSearch().open(problem, {}, 0)
    hashes: list[str] = []
    while isinstance(answer := run.propose(64, BUDGETS[0]), Proposals):
        run.ingest([over_the_wire(answer.candidates, len(hashes))])
        hashes += [canonical_hash(candidate.graph) for candidate in answer.candidates]
    assert len(hashes) == len(set(hashes)) >= 1
    assert more or len(hashes) == 1
    assert "every network" in answer.reason


def test_an_algorithm_fits_on_a_page() -> None:
    assert program.__file__ is not None
    assert len(Path(program.__file__).read_text().splitlines()) <= 80
