"""A study of Optuna as a fold over the events of a run."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncevolve.evolutions import problem_of
from neunets.canonical import canonical_hash
from neunets.cost import cost
from neunets.draws import generator
from neunets.errors import UnsupportedProblem
from neunets.synthesizer import (
    Budget,
    Candidate,
    Event,
    Exhausted,
    Proposals,
    Proposed,
    Rejected,
    TrialEnded,
    TrialState,
)
from neunets_optuna.search import OptunaSearch, Run
from neunets_optuna.settings import SAMPLERS

BUDGET = Budget(slots=2)
# Without torch's: one ask of a Gaussian process takes a second.
QUICK = sorted(SAMPLERS.keys() - {"gp"})
# Of a trial: how long it lasts, in calls, and its value.
FATES = st.lists(st.tuples(st.integers(0, 2), st.sampled_from((0.2, 0.5, 0.9, math.nan))), min_size=6, max_size=9)


def opened(sampler: str, seed: int = 1, **chosen: object) -> Run:
    return OptunaSearch().open(problem_of(), {"sampler": sampler, "startup": 3, **chosen}, seed)


class Drive:
    """A run and its log."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.log: list[Event] = []
        self.candidates: dict[str, Candidate] = {}

    def propose(self, want: int) -> list[str]:
        answer = self.run.propose(want, BUDGET)
        assert isinstance(answer, Proposals)
        return self.echo(answer.candidates)

    def echo(self, found: tuple[Candidate, ...]) -> list[str]:
        named = {f"c{len(self.candidates) + number}": candidate for number, candidate in enumerate(found)}
        self.candidates |= named
        self.ingest(Proposed(tuple(named.items())))
        return list(named)

    def end(self, name: str, value: float) -> None:
        state = TrialState.SUCCEEDED if math.isfinite(value) else TrialState.INFEASIBLE
        self.ingest(TrialEnded(name, f"t{name}", state, {"valid_accuracy": value}, 1.0, False))

    def ingest(self, event: Event) -> None:
        self.log.append(event)
        self.run.ingest([event])


def searched(sampler: str, fates: list[tuple[int, float]]) -> Drive:
    drive, open_ = Drive(opened(sampler)), list[tuple[int, str, float]]()
    for call, (lasts, value) in enumerate(fates):
        open_ += [(call + lasts, name, value) for name in drive.propose(1 + call % 2)]
        for due, name, reached in [each for each in open_ if each[0] <= call]:
            drive.end(name, reached)
            open_.remove((due, name, reached))
    return drive


@settings(max_examples=15, deadline=None)
@given(sampler=st.sampled_from(QUICK), fates=FATES)
def test_a_replay_asks_for_the_same(sampler: str, fates: list[tuple[int, float]]) -> None:
    drive = searched(sampler, fates)
    again = opened(sampler)
    again.ingest(drive.log)
    assert again.propose(2, BUDGET) == drive.run.propose(2, BUDGET)
    assert again.assess(BUDGET, []) == drive.run.assess(BUDGET, [])


@pytest.mark.parametrize("sampler", QUICK)
def test_asking_again_gives_the_same(sampler: str) -> None:
    drive = searched(sampler, [(0, 0.1 * number) for number in range(6)])
    first = drive.run.propose(2, BUDGET)
    assert drive.run.propose(2, BUDGET) == first
    assert isinstance(first, Proposals)
    assert drive.run.propose(1, BUDGET) == Proposals(first.candidates[:1])


@pytest.mark.parametrize("sampler", QUICK)
def test_what_is_never_echoed_was_never_asked_for(sampler: str) -> None:
    """An engine that ends between an answer and its write asks again, after other results."""
    fates = [(0, 0.1 * number) for number in range(5)]
    plain, dropped = searched(sampler, fates), searched(sampler, fates)
    for drive in (plain, dropped):
        if drive is dropped:
            drive.run.propose(2, BUDGET)
        drive.ingest(Rejected("c0", (("BAD_GRAPH", "graph", "late"),)))
    assert plain.run.propose(2, BUDGET) == dropped.run.propose(2, BUDGET)


@pytest.mark.parametrize("sampler", QUICK)
def test_no_network_is_asked_for_twice(sampler: str) -> None:
    drive = searched(sampler, [(0, 0.5)] * 20)
    hashes = [canonical_hash(each.graph) for each in drive.candidates.values() if each.graph is not None]
    assert len(set(hashes)) == len(hashes) == 30


def test_seeds_search_differently() -> None:
    found = [opened("tpe", seed).propose(3, BUDGET) for seed in range(3)]
    assert found[0] != found[1] != found[2] != found[0]


def test_tpe_learns_from_results() -> None:
    """What is small is good: later networks are smaller than the first ones, which are drawn at random."""
    drive = Drive(opened("tpe", startup=10))
    sizes = list[float]()
    for _ in range(60):
        (name,) = drive.propose(1)
        graph = drive.candidates[name].graph
        assert graph is not None
        sizes.append(math.log(cost(graph).params))
        drive.end(name, -sizes[-1])
    assert sum(sizes[-20:]) / 20 < sum(sizes[:10]) / 10 - 0.5


def test_trainings_are_searched_where_that_is_wished() -> None:
    drive = Drive(opened("tpe", joint=True, space="all"))
    recipes = [drive.candidates[name].recipe for name in drive.propose(4)]
    assert len({recipe.learning_rate for recipe in recipes}) == 4
    assert {recipe.schedule for recipe in recipes} == {"one_cycle"}


def test_the_budget_bounds_the_networks() -> None:
    budget = Budget(slots=2, wall_s=200.0, slot_flops=1e9)
    answer = opened("random").propose(8, budget)
    assert isinstance(answer, Proposals)
    most = budget.affordable_flops(16.0, problem_of().train_rows)
    assert most is not None
    assert all(cost(each.graph).flops <= most for each in answer.candidates if each.graph is not None)


def test_bounds_that_nothing_keeps_are_refused() -> None:
    with pytest.raises(UnsupportedProblem, match="at least"):
        OptunaSearch().open(problem_of(max_params=1), {}, 0)


def test_an_exhausted_space_is_said() -> None:
    run = OptunaSearch().open(problem_of(max_params=60), {"sampler": "random"}, int(generator(0, 0).integers(9)))
    drive = Drive(run)
    for _ in range(200):
        answer = run.propose(4, BUDGET)
        if isinstance(answer, Exhausted):
            return
        drive.echo(answer.candidates)
    raise AssertionError("the space has no end")
