"""The laws of a synthesizer, and those of rungs, over whole searches with made-up results."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperband.climbs import BUDGET, CALLS, PIXELS, SEEDS, Call, Drive, Fate, driven, opened, problem_of
from neunets.canonical import canonical_hash
from neunets.cost import cost
from neunets.errors import UnsupportedProblem
from neunets.graph import DataType, Input
from neunets.spaces import ChainSpace
from neunets.synthesizer import (
    Budget,
    Candidate,
    Exhausted,
    Injected,
    Problem,
    Proposals,
    Recipe,
    Rejected,
    TrialEnded,
    TrialState,
    Verdict,
    Wait,
)
from neunets.validate import validate
from neunets_hyperband.levels import Convention, brackets, work
from neunets_hyperband.session import Hyperband
from neunets_hyperband.trainings import LADDER, RUNG

LEVELS = (1.0, 3.0, 9.0)
MODES = st.sampled_from(("asha", "hyperband", "halving"))
MODELS = st.sampled_from(("tpe", "kde", "none"))
SPACES = st.sampled_from(("plain", "skip", "branched", "motifs", "all"))
SHORT = Budget(slots=2, wall_s=20.0, wall_s_left=5.0, slot_flops=1e10)
LONG = Budget(slots=2, wall_s=40_000.0, wall_s_left=10_000.0, slot_flops=1e10)
SERIES = Input("sequence", (48, 2), DataType.FLOAT32, (0.0,) * 2, (1.0,) * 2)


def rung_of(candidate: Candidate) -> int:
    return int(candidate.labels[RUNG])


def void(drive: Drive) -> set[str]:
    """Candidates that take no place on a rung."""
    cancelled = (event for event in drive.log if isinstance(event, TrialEnded) and event.state is TrialState.CANCELLED)
    rejected = (event for event in drive.log if isinstance(event, Rejected))
    return {event.candidate for event in (*cancelled, *rejected)}


@given(seed=SEEDS, calls=CALLS, mode=MODES, model=MODELS, space=SPACES, joint=st.booleans())
@settings(max_examples=12)
def test_a_replay_gives_the_same_candidates_in_the_same_order(
    seed: int, calls: list[Call], mode: str, model: str, space: str, joint: bool
) -> None:
    given_settings = {"mode": mode, "model": model, "space": space, "joint": joint}
    rebuilt = driven(problem_of(), seed, calls, True, **given_settings)
    whole = driven(problem_of(), seed, calls, False, **given_settings)
    assert rebuilt.candidates == whole.candidates
    assert rebuilt.run.propose(3, BUDGET) == whole.run.propose(3, BUDGET)
    assert rebuilt.run.assess(BUDGET, []) == whole.run.assess(BUDGET, [])


@given(seed=SEEDS, calls=CALLS, mode=MODES, cut=st.integers(0, 200))
@settings(max_examples=15)
def test_every_prefix_of_the_log_leads_to_the_same_answer(seed: int, calls: list[Call], mode: str, cut: int) -> None:
    log = driven(problem_of(), seed, calls, mode=mode).log[:cut]
    at_once, one_by_one = (opened(problem_of(), seed, mode=mode) for _ in range(2))
    at_once.ingest(log)
    for event in log:
        one_by_one.ingest([event])
        one_by_one.assess(BUDGET, ["t000001"])
    assert at_once.propose(2, BUDGET) == one_by_one.propose(2, BUDGET)
    assert at_once.propose(2, BUDGET) == at_once.propose(2, BUDGET)


@given(seed=SEEDS, calls=CALLS, mode=st.sampled_from(("hyperband", "halving")))
@settings(max_examples=15)
def test_no_bracket_takes_more_epochs_than_its_schedule(seed: int, calls: list[Call], mode: str) -> None:
    drive = driven(problem_of(), seed, calls, mode=mode)
    by_turns = brackets(3, 3, Convention.JMLR)
    spent = defaultdict[int, float](float)
    for name, each in drive.candidates.items():
        if name not in void(drive):
            below = (0.0, *LEVELS)[rung_of(each)] if each.recipe.resume_trial else 0.0
            spent[int(each.labels["bracket"])] += LEVELS[rung_of(each)] - below
    for number, epochs in spent.items():
        bracket = by_turns[number % 3] if mode == "hyperband" else by_turns[0]
        assert epochs <= work(bracket, LEVELS)


def test_seeds_search_differently() -> None:
    found = [
        [canonical_hash(drive.graphs[name]) for name in drive.search(6)]
        for drive in (Drive(opened(problem_of(), seed)) for seed in range(3))
    ]
    assert found[0] != found[1] != found[2] != found[0]


@given(seed=SEEDS, source=st.sampled_from((PIXELS, SERIES)), space=SPACES, joint=st.booleans(),
       max_params=st.sampled_from((None, 3_000, 30_000)), max_flops=st.sampled_from((None, 2_000_000)))  # fmt: skip
@settings(max_examples=10)
def test_networks_are_valid_different_and_within_the_bounds(
    seed: int, source: Input, space: str, joint: bool, max_params: int | None, max_flops: int | None
) -> None:
    problem = problem_of(source, max_params, max_flops=max_flops)
    try:
        drive = Drive(opened(problem, seed, space=space, joint=joint))
    except UnsupportedProblem:
        return
    drive.search(10)
    fresh = [drive.graphs[name] for name, each in drive.candidates.items() if each.recipe.resume_trial is None]
    assert len(set(map(canonical_hash, fresh))) == len(fresh) > 1
    for graph in fresh:
        price = cost(graph, validate(graph, classes=3, input=source))
        assert max_params is None or price.params <= max_params
        assert max_flops is None or price.flops <= max_flops


def test_the_standard_network_comes_first() -> None:
    drive = Drive(opened(problem_of()))
    first = drive.candidates[drive.propose(1)[0]]
    assert first.graph is not None
    assert canonical_hash(first.graph) == canonical_hash(ChainSpace(PIXELS, 3).standard())
    assert "standard network" in first.rationale
    assert "network" not in first.labels


def test_rungs_are_trained_at_a_constant_rate_with_averaged_weights() -> None:
    drive = Drive(opened(problem_of(), joint=True))
    for name in drive.search(12):
        recipe = drive.candidates[name].recipe
        if recipe.resume_trial is None:
            assert (recipe.epochs, recipe.schedule) == (1.0, "constant")
            assert recipe.averaging is not None
            assert recipe.averaging >= 0.1
        else:
            assert recipe == Recipe(epochs=recipe.epochs, resume_trial=recipe.resume_trial)


def test_each_candidate_says_why() -> None:
    drive = Drive(opened(problem_of(), mode="asha"))
    told = [drive.candidates[name].rationale for name in drive.search(70)]
    assert told[0] == "rung 1 of 3: 1 epoch, the standard network, the yardstick of all that is drawn"
    assert told[1].startswith("rung 2 of 3: 3 epochs, 0.")
    assert told[1].endswith("best 1/3 of 1")
    assert told[2].startswith("rung 3 of 3: 9 epochs, ")
    assert told[3].startswith("rung 1 of 3: 1 epoch, drawn at random: ")
    assert any(re.search(r"drawn by the model of \d\d results: ", text) for text in told)
    assert all(len(text.encode()) <= 256 for text in told)


def test_a_short_search_is_one_of_chance() -> None:
    drive = Drive(opened(problem_of()))
    for name in drive.search(6, SHORT):
        candidate = drive.candidates[name]
        assert candidate.rationale.startswith("too short a search for rungs: ")
        assert candidate.recipe == Recipe()
    assert "too short" in drive.run.assess(SHORT, []).reason


def test_the_rungs_stay_whatever_becomes_of_the_budget() -> None:
    drive = Drive(opened(problem_of()))
    drive.search(5, LONG)
    drive.search(5, SHORT)
    assert len({each.labels[LADDER] for each in drive.candidates.values()}) == 1


def test_networks_are_those_that_the_wall_budget_trains_so_many_times() -> None:
    def most(wall_s: float, **given_settings: object) -> int:
        budget = Budget(slots=2, wall_s=wall_s, wall_s_left=wall_s / 4, slot_flops=1e9)
        drive = Drive(opened(problem_of(), **given_settings))
        return max(cost(drive.graphs[name]).flops for name in drive.search(6, budget))

    affordable = 2 * 600.0 * 1e9 / 3 / 10_000
    assert affordable / 40 < most(600.0, passes=16.0) <= affordable / 16
    assert most(600.0, passes=4.0) > 2 * most(600.0, passes=16.0)


def test_nobody_trains_on_whom_the_time_left_does_not_bring_there() -> None:
    drive = Drive(opened(problem_of(), mode="asha"))
    for name in drive.propose(3, LONG):
        drive.end(name)  # of 2 s an epoch
    for left_s, rung in ((3.9, 0), (4.1, 1)):
        answer = drive.run.propose(1, Budget(2, 40_000.0, None, left_s, None, 1e10))
        assert isinstance(answer, Proposals)
        assert rung_of(answer.candidates[0]) == rung


@pytest.mark.parametrize("mode", ["asha", "hyperband"])
def test_a_search_in_which_everything_fails_goes_on(mode: str) -> None:
    drive = Drive(opened(problem_of(), mode=mode, model="kde"))
    for number in range(30):
        (name,) = drive.propose(1)
        drive.end(name, fate=(Fate.FAILS, Fate.DIVERGES, Fate.HAS_NO_ROOM)[number % 3])
    assert all(rung_of(each) == 0 or mode == "hyperband" for each in drive.candidates.values())
    assert drive.run.assess(BUDGET, []).reason == "no network is trained yet"


@pytest.mark.parametrize("mode", ["asha", "hyperband"])
def test_rejected_candidates_block_nobody(mode: str) -> None:
    drive, higher = Drive(opened(problem_of(), mode=mode)), 0
    for _ in range(60):
        (name,) = drive.propose(1)
        higher += rung_of(drive.candidates[name]) > 0
        is_rejected = rung_of(drive.candidates[name]) > 0 and higher % 2 > 0
        drive.end(name, fate=Fate.IS_REJECTED if is_rejected else Fate.SUCCEEDS)
    assert {rung_of(each) for each in drive.candidates.values()} == {0, 1, 2}


def test_a_users_network_is_not_proposed_again() -> None:
    drive = Drive(opened(problem_of()))
    drive.ingest(Injected("mine", Candidate(ChainSpace(PIXELS, 3).standard())))
    (name,) = drive.propose(1)
    assert "standard" not in drive.candidates[name].rationale


def tight() -> Problem:
    """With a bound that few networks keep."""
    with pytest.raises(UnsupportedProblem) as caught:
        opened(problem_of(max_params=1))
    smallest = int(caught.value.message.rpartition(" ")[2].replace(",", ""))
    return problem_of(max_params=smallest + 20)


def test_a_space_that_is_empty_is_trained_on_and_then_over() -> None:
    drive = Drive(opened(tight(), mode="asha", eta=2.0))
    rungs = Counter(rung_of(drive.candidates[name]) for name in drive.search(100))
    assert 2 <= rungs[0] < 20
    assert rungs[1] >= rungs[0] / 2
    assert rungs[2] >= rungs[1] / 2
    assert isinstance(drive.run.propose(1, BUDGET), Exhausted)
    assert drive.run.assess(BUDGET, []).verdict is Verdict.CONVERGED


def test_it_waits_where_a_rung_has_to_end_first() -> None:
    drive = Drive(opened(tight(), mode="halving"))
    names = drive.propose(64)
    assert 1 < len(names) < 64
    assert isinstance(drive.run.propose(1, BUDGET), Wait)
    for name in names:
        drive.end(name)
    assert rung_of(drive.candidates[drive.propose(1)[0]]) == 1


@pytest.mark.parametrize("bound", ["max_params", "max_flops"])
def test_a_bound_that_nothing_keeps_is_refused_with_the_smallest(bound: str) -> None:
    with pytest.raises(UnsupportedProblem, match=f"raise {bound} to at least") as caught:
        opened(problem_of(**{bound: 1}))
    smallest = int(caught.value.message.rpartition(" ")[2].replace(",", ""))
    assert Drive(opened(problem_of(**{bound: smallest}))).propose(1)


def test_an_assessment_tells_people_how_far_the_search_is() -> None:
    drive = Drive(opened(problem_of(), mode="asha"))
    assert drive.run.assess(BUDGET, []).reason == "nothing was proposed yet"
    for number in range(4):
        (name,) = drive.propose(1)
        drive.end(name, 0.5 + number / 10)
    found = drive.run.assess(Budget(slots=2, trials=10, trials_left=6), [])
    assert found.reason == "best of 2 networks 0.800, at 1 epoch; results: 2 at 1, 1 at 3, 1 at 9"
    assert (found.verdict, found.progress) == (Verdict.CONTINUE, 0.4)


def test_progress_is_the_part_of_the_budget_that_is_used() -> None:
    drive = Drive(opened(problem_of(), mode="asha"))
    drive.search(4)  # two networks, one of them for 9 epochs, of 2 s on two slots
    assert drive.run.assess(Budget(slots=2, wall_s=100.0, wall_s_left=15.0), []).progress == pytest.approx(10 / 25)
    assert drive.run.assess(Budget(slots=2, wall_s=0.0, wall_s_left=0.0), []).progress == 1.0
    assert drive.run.assess(BUDGET, []).progress is None


def test_it_says_what_it_is() -> None:
    described = Hyperband().describe()
    assert described.name == "hyperband"
    assert described.continues_trials
    assert described.stops_trials
    assert described.is_deterministic
