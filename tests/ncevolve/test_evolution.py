"""The laws of a synthesizer, and those of evolution, over whole searches with made-up results."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import network
from ncevolve.evolutions import BUDGET, PIXELS, SEEDS, Drive, inputs, opened, problem_of
from neunets.canonical import canonical_hash
from neunets.cost import cost
from neunets.errors import UnsupportedProblem
from neunets.graph import Input
from neunets.synthesizer import (
    Assessment,
    Budget,
    Candidate,
    Exhausted,
    Injected,
    Proposals,
    TrialState,
    Verdict,
    Wait,
)
from neunets.validate import validate
from neunets_ncevolve.evolution import NCEvolve
from neunets_ncevolve.settings import PRESETS
from neunets_ncevolve.template import NARROWEST, template_of

TIMED = Budget(slots=2, wall_s=100.0, wall_s_left=25.0, slot_flops=1e11)
# Of the widest template there are about 110 passes over 50,000 rows, or 5.
LONG, SHORT = (Budget(2, wall_s, None, wall_s / 4, slot_flops=1e9) for wall_s in (400_000.0, 20_000.0))
# Of one call: how many are wanted, how many trials end after it, how, and whether the run is built anew.
ENDS = st.sampled_from((TrialState.SUCCEEDED, TrialState.SUCCEEDED, TrialState.STOPPED, TrialState.FAILED))
CALLS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3), ENDS, st.booleans()), min_size=4, max_size=10)


def driven(seed: int, budget: Budget, calls: list[tuple[int, int, TrialState, bool]], rebuilds: bool) -> Drive:
    problem = problem_of()
    drive, training = Drive(opened(problem, seed)), list[str]()
    for want, ends, state, is_rebuilt in calls:
        training += drive.propose(want, budget)
        for name in training[:ends]:
            drive.end(name, state=state)
        training = training[ends:]
        if is_rebuilt and rebuilds:
            drive.run = opened(problem, seed)
            drive.run.ingest(drive.log)
    return drive


@given(seed=SEEDS, budget=st.sampled_from((BUDGET, TIMED, SHORT)), calls=CALLS)
@settings(max_examples=25)
def test_a_replay_gives_the_same_candidates_in_the_same_order(
    seed: int, budget: Budget, calls: list[tuple[int, int, TrialState, bool]]
) -> None:
    rebuilt, whole = driven(seed, budget, calls, True), driven(seed, budget, calls, False)
    assert rebuilt.candidates == whole.candidates
    assert rebuilt.run.propose(2, budget) == whole.run.propose(2, budget)
    assert rebuilt.run.assess(budget, []) == whole.run.assess(budget, [])


@given(seed=SEEDS)
@settings(max_examples=10)
def test_asking_again_gives_the_same(seed: int) -> None:
    drive = Drive(opened(problem_of(), seed))
    drive.search(4)
    first = drive.run.propose(3, BUDGET)
    drive.run.assess(BUDGET, ["t000001"])
    assert drive.run.propose(3, BUDGET) == first


def test_seeds_search_differently() -> None:
    found = [[each.lineage for each in Drive(opened(problem_of(), seed)).search(6)] for seed in range(3)]
    assert found[0] != found[1] != found[2] != found[0]


@given(seed=SEEDS, source=inputs(4, 32), max_params=st.sampled_from((None, 2_000, 20_000)),
       max_flops=st.sampled_from((None, 2_000_000)), preset=st.sampled_from(("fast", "paper")))  # fmt: skip
@settings(max_examples=20)
def test_networks_are_valid_different_and_within_the_bounds(
    seed: int, source: Input, max_params: int | None, max_flops: int | None, preset: str
) -> None:
    problem = problem_of(source, max_params, max_flops=max_flops)
    try:
        drive = Drive(opened(problem, seed, preset=preset))
    except UnsupportedProblem:
        return
    drive.search(10)
    graphs = list(drive.graphs.values())
    assert len(set(map(canonical_hash, graphs))) == len(graphs) > 1
    for graph in graphs:
        price = cost(graph, validate(graph, classes=3, input=source))
        assert max_params is None or price.params <= max_params
        assert max_flops is None or price.flops <= max_flops


def test_children_name_a_trained_parent_and_what_was_done() -> None:
    drive = Drive(opened(problem_of(), roots=1))
    template, *children = drive.search(8)
    assert not template.parents
    assert len(children) == 7
    for number, each in enumerate(children, 1):
        (parent,) = each.parents
        assert int(parent[1:]) <= number
        assert each.lineage
        assert each.rationale.endswith(f"of {parent}")


def test_a_slot_waits_while_the_template_trains() -> None:
    drive = Drive(opened(problem_of(), preset="paper"))
    (name,) = drive.propose(2)
    assert drive.run.propose(1, BUDGET) == Wait("nothing can be bred before more networks are trained")
    drive.end(name)
    assert len(drive.propose(2)) == 2


def test_another_template_of_half_the_width_uses_the_second_slot() -> None:
    drive = Drive(opened(problem_of()))
    first, second = (cost(drive.graphs[name]) for name in drive.propose(5))
    assert 3.5 * second.params < first.params < 4.5 * second.params


def test_where_all_templates_fail_narrower_ones_follow() -> None:
    drive, found = Drive(opened(problem_of())), list[int]()
    while names := drive.propose(2):
        for name in names:
            assert not drive.candidates[name].parents
            found.append(cost(drive.graphs[name]).params)
            drive.end(name, state=TrialState.INFEASIBLE)
    assert found == sorted(found, reverse=True)
    assert len(found) > 3
    assert isinstance(drive.run.propose(1, BUDGET), Exhausted)


def test_a_failed_trial_is_never_a_parent() -> None:
    drive = Drive(opened(problem_of()))
    first, second = drive.propose(2)
    drive.end(first, state=TrialState.FAILED)
    drive.end(second)
    assert {each.parents for each in drive.search(5)[:1]} == {(second,)}
    assert all(first not in each.parents for each in drive.candidates.values())


def test_a_users_network_has_children() -> None:
    drive = Drive(opened(problem_of(), tournament=1.0))
    for name in drive.propose(2):
        drive.end(name, 0.1)
    drive.graphs["mine"] = network(PIXELS, 3, 16)
    drive.ingest(Injected("mine", Candidate(drive.graphs["mine"])))
    drive.end("mine", 0.9)
    assert any(each.parents == ("mine",) for each in drive.search(6))


def test_the_template_leaves_room_within_the_bounds() -> None:
    drive = Drive(opened(problem_of(max_params=40_000)))
    drive.search(12)
    first, *others = (cost(graph).params for graph in drive.graphs.values())
    assert 4_000 < first <= 10_000
    assert max(others) > 1.2 * first


def test_the_template_is_what_the_wall_budget_trains_so_many_times() -> None:
    def flops(wall_s: float, **settings: object) -> int:
        budget = Budget(slots=2, wall_s=wall_s, wall_s_left=wall_s / 4, slot_flops=1e10)
        drive = Drive(opened(problem_of(rows=50_000), search_passes=0.0, **settings))
        return cost(drive.graphs[drive.propose(1, budget)[0]]).flops

    affordable = 2 * 60.0 * 1e10 / 3 / 50_000
    assert flops(60.0, passes=10.0) <= affordable / 10.0
    assert flops(60.0, passes=10.0) > affordable / 30.0
    assert flops(60.0, passes=2.0) > 2 * flops(60.0, passes=10.0)


def test_without_time_for_a_search_the_template_is_trained_alone() -> None:
    drive = Drive(opened(problem_of(rows=50_000)))
    (name,) = drive.propose(2, SHORT)
    assert drive.candidates[name].recipe.epochs == 0.1
    assert isinstance(drive.run.propose(2, SHORT), Wait)
    assert drive.run.assess(SHORT, []).verdict is Verdict.CONTINUE
    drive.end(name, 0.8)
    assert isinstance(drive.run.propose(2, LONG), Exhausted)  # a speed that was measured since changes nothing
    found = drive.run.assess(SHORT, [])
    assert found.verdict is Verdict.CONVERGED
    assert "too short for a search" in found.reason


def test_cells_that_nobody_deepens_have_two_layers_where_the_bounds_allow_it() -> None:
    def convolutions(**bounds: int) -> int:
        drive = Drive(opened(problem_of(rows=50_000, **bounds)))
        return sum(node.op == "conv" for node in drive.graphs[drive.propose(1, SHORT)[0]].nodes)

    searched = Drive(opened(problem_of(rows=50_000)))
    (template, _) = searched.propose(2, LONG)
    cells = sum(node.op == "conv" for node in searched.graphs[template].nodes) - 2  # stem and head have one each
    assert convolutions() == 2 * cells + 2
    template_alone = template_of(problem_of().input, problem_of().classes, PRESETS["fast"])
    narrowest = cost(template_alone.graph(NARROWEST)).params
    assert convolutions(max_params=narrowest) == cells + 2


def test_a_template_alone_that_cannot_be_trained_is_followed_by_a_narrower_one() -> None:
    drive = Drive(opened(problem_of(rows=50_000)))
    (first,) = drive.propose(1, SHORT)
    drive.end(first, state=TrialState.INFEASIBLE)
    (second,) = drive.propose(1, SHORT)
    assert cost(drive.graphs[second]).params < cost(drive.graphs[first]).params


def test_whoever_wants_a_search_has_one() -> None:
    assert len(Drive(opened(problem_of(rows=50_000), search_passes=0.0)).propose(2, SHORT)) == 2
    assert len(Drive(opened(problem_of(rows=50_000))).propose(2, LONG)) == 2
    assert len(Drive(opened(problem_of(rows=50_000))).propose(2, Budget(2, trials=8, trials_left=8))) == 2


def test_no_child_is_proposed_that_the_time_left_cannot_train_once() -> None:
    drive = Drive(opened(problem_of()))
    for name in drive.propose(2):
        drive.end(name)
    assert isinstance(drive.run.propose(1, Budget(2, 100.0, None, 0.1)), Exhausted)
    assert isinstance(drive.run.propose(1, Budget(2, 100.0, None, 10.0)), Proposals)


def test_a_bound_that_nothing_keeps_is_refused_with_the_smallest() -> None:
    with pytest.raises(UnsupportedProblem, match="at least") as caught:
        opened(problem_of(max_params=1))
    smallest = int(caught.value.message.partition(" parameters")[0].rpartition(" ")[2])
    drive = Drive(opened(problem_of(max_params=smallest)))
    (template,) = drive.search(5)
    assert cost(template.graph or drive.graphs["c000001"]).params == smallest
    assert isinstance(drive.run.propose(1, BUDGET), Exhausted)
    assert drive.run.assess(BUDGET, []).verdict is Verdict.CONVERGED


def assessed(fitnesses: list[float], **settings: object) -> Assessment:
    drive = Drive(opened(problem_of(), **settings))
    for fitness in fitnesses:
        (name,) = drive.propose(1)
        drive.end(name, fitness)
    return drive.run.assess(Budget(slots=2, trials=100, trials_left=60), [])


def test_an_assessment_tells_people_where_the_best_came_from() -> None:
    found = assessed([0.9, 0.91, 0.92, 0.917, 0.93, 0.931, 0.9, 0.9])
    assert found.reason.startswith("best of 8 networks 0.931, from c00000")
    assert found.reason.endswith("; +0.011 in the last 5")
    assert (found.verdict, found.progress) == (Verdict.CONTINUE, 0.4)
    assert assessed([]).reason == "no network is trained yet"
    assert assessed([0.5]).reason == "best of 1 network 0.500, the template"


@pytest.mark.parametrize(
    ("worse", "patience", "verdict"),
    [(9, 12, Verdict.CONTINUE), (10, 12, Verdict.STALLED), (12, 12, Verdict.CONVERGED), (12, 0, Verdict.STALLED)],
)
def test_a_search_without_a_better_network_stalls_and_then_ends(worse: int, patience: int, verdict: Verdict) -> None:
    assert assessed([0.8, 0.9, *(0.5,) * worse], patience=patience).verdict is verdict


def test_progress_is_the_part_of_the_budget_that_is_used() -> None:
    drive = Drive(opened(problem_of()))
    drive.search(4)  # of 2 s each, on two slots
    assert drive.run.assess(Budget(slots=2, wall_s=100.0, wall_s_left=12.0), []).progress == 0.25
    assert drive.run.assess(Budget(slots=2, wall_s=0.0, wall_s_left=0.0, trials=0, trials_left=0), []).progress == 1.0
    assert drive.run.assess(BUDGET, []).progress is None


def test_it_says_what_it_is() -> None:
    described = NCEvolve().describe()
    assert described.inherits_weights
    assert described.hears_injected
    assert described.is_deterministic
