"""What has done well on other data comes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperband.climbs import BUDGET, CALLS, PIXELS, SEEDS, Call, Drive, Fate, driven, opened, problem_of
from neunets.canonical import canonical_hash
from neunets.cost import cost
from neunets.draws import generator
from neunets.graph import DataType, Input
from neunets.spaces import SPACES, Designs
from neunets.synthesizer import Budget, Candidate, Experience, PastTrial, Problem, Proposals
from neunets_hyperband.session import Hyperband
from neunets_hyperband.settings import MOST_WARM, PRESETS
from neunets_hyperband.trainings import BRACKET, FROM, RUNG
from neunets_hyperband.warm import starts_of

LARGE = Input("image", (28, 28, 3), DataType.UINT8, (73.0,) * 3, (90.0,) * 3)
SHORT = Budget(slots=2, wall_s=20.0, wall_s_left=5.0, slot_flops=1e10)
SPACE_NAMES = st.sampled_from((*SPACES, "all"))


def designs_of(source: Input = PIXELS, space: str = "plain", joint: bool = False) -> Designs:
    return Designs.of(problem_of(source), tuple(SPACES) if space == "all" else (space,), ("constant",) * joint, None)


def experience(
    designs: Designs, values: Sequence[float], distance: float = 0.5, seed: int = 0, source: Input = PIXELS
) -> Experience:
    """Of as many networks as `values`, drawn by the seed."""
    trials = [
        PastTrial("evolve", None, designs.labels(designs.parameters.sample(generator(seed, number))), _metrics(value))
        for number, value in enumerate(values)
    ]
    return Experience(source, 3, 5000, distance, tuple(trials))


def _metrics(value: float) -> dict[str, float]:
    return {"valid_accuracy": value, "epochs": 3.0}


class Told:
    """Experiences of earlier runs, and how often they were asked for."""

    def __init__(self, *experiences: Experience) -> None:
        self.experiences = experiences
        self.asked = 0

    def __call__(self) -> Sequence[Experience]:
        self.asked += 1
        return self.experiences


def after(*experiences: Experience, **bounds: int) -> Problem:
    return replace(problem_of(**bounds), past=Told(*experiences))


def networks(experience: Experience, designs: Designs) -> list[str]:
    return [canonical_hash(designs.graph(designs.read(each.labels))) for each in experience.trials]


def remembered(drive: Drive) -> list[Candidate]:
    return [each for each in drive.candidates.values() if FROM in each.labels]


def test_the_best_of_the_most_similar_data_follows_the_standard_network() -> None:
    designs = designs_of()
    near, far = experience(designs, [0.5, 0.9, 0.7], 0.31, 1), experience(designs, [0.99, 0.2], 2.0, 2)
    drive = Drive(opened(after(far, near), mode="asha"))
    names = drive.propose(7)
    assert "standard network" in drive.candidates[names[0]].rationale
    own, others = networks(near, designs), networks(far, designs)
    found = [canonical_hash(drive.graphs[name]) for name in names[1:6]]
    assert found == [own[1], others[0], own[2], own[0], others[1]]
    told = [drive.candidates[name].rationale for name in names]
    begins = "rung 1 of 3: 1 epoch, "
    assert told[1].startswith(f"{begins}the best of the most similar data (distance 0.31): ")
    assert told[2].startswith(f"{begins}the best of other data (distance 2.00): ")
    assert told[3].startswith(f"{begins}number 2 of 3 of the most similar data (distance 0.31): ")
    assert told[6].startswith(f"{begins}drawn at random: ")
    assert drive.candidates[names[1]].labels[FROM] == "evolve, distance 0.31"
    assert FROM not in drive.candidates[names[6]].labels


def test_what_is_good_on_all_data_comes_before_what_is_best_on_one() -> None:
    designs = designs_of()
    one, other = (experience(designs, values) for values in ([0.9, 0.1, 0.89, 0.5], [0.1, 0.9, 0.89, 0.5]))
    drive = Drive(opened(after(one, other)))
    assert canonical_hash(drive.graphs[drive.propose(2)[1]]) == networks(one, designs)[2]
    drive.propose(3)
    assert len(remembered(drive)) == 4


def test_a_design_is_the_same_network_whichever_data_it_was_tried_on() -> None:
    small, joint = designs_of(), designs_of(LARGE, joint=True)
    told = [experience(small, [0.1, 0.9, 0.8], distance, source=PIXELS) for distance in (0.1, 0.2)]
    problem = replace(problem_of(LARGE), mirror_keeps_class=True)
    found = starts_of(problem, joint, told, 0)
    assert len(found) == 3
    assert starts_of(problem, joint, [*reversed(told)], 0) == found
    assert starts_of(problem, joint, told, 1) != found


def test_what_has_no_result_is_not_proposed() -> None:
    drive = Drive(opened(after(experience(designs_of(), [float("nan"), 0.5]))))
    drive.propose(5)
    (found,) = remembered(drive)
    assert "the best of the most similar data" in found.rationale


@pytest.mark.parametrize("wanted", [0, 2, 4])
def test_there_are_no_more_than_the_user_wants(wanted: int) -> None:
    drive = Drive(opened(after(experience(designs_of(), [0.5] * 9)), mode="asha", warm=wanted))
    drive.search(20)
    assert len(remembered(drive)) == wanted
    assert all(each.labels[RUNG] == "0" for each in remembered(drive))


def test_earlier_runs_are_asked_once_and_not_before_it_matters() -> None:
    problem = after(experience(designs_of(), [0.5, 0.6]))
    drive = Drive(opened(problem))
    drive.propose(1)
    assert isinstance(problem.past, Told)
    assert problem.past.asked == 0
    drive.search(10)
    assert problem.past.asked == 1


@pytest.mark.parametrize("preset", ["hyperband", "asha", "bohb"])
def test_a_published_method_knows_of_no_other_data(preset: str) -> None:
    assert PRESETS[preset].warm == 0
    problem = after(experience(designs_of(), [0.5, 0.6]))
    Drive(opened(problem, preset=preset)).search(5)
    assert isinstance(problem.past, Told)
    assert problem.past.asked == 0


def test_they_begin_in_the_first_bracket() -> None:
    problem = after(experience(designs_of(), [0.5 + 0.01 * number for number in range(20)]))
    drive = Drive(opened(problem, mode="hyperband", warm=MOST_WARM))
    drive.propose(17)
    found = remembered(drive)
    assert len(found) == 8  # of the nine of the first bracket, one is the standard network
    assert {(each.labels[BRACKET], each.labels[RUNG]) for each in found} == {("0", "0")}


def test_a_search_without_rungs_begins_with_them() -> None:
    drive = Drive(opened(after(experience(designs_of(), [0.5, 0.6]))))
    drive.search(5, SHORT)
    assert len(remembered(drive)) == 2
    assert all("too short" in each.rationale for each in remembered(drive))


def test_the_model_learns_of_them() -> None:
    problem = after(experience(designs_of(), [0.5 + 0.01 * number for number in range(10)]))
    drive = Drive(opened(problem, mode="asha", eta=16.0, max_epochs=16.0, warm=10, random_fraction=0.0))
    drive.search(16)
    assert len(remembered(drive)) == 10
    assert any("by the model of 10 results" in each.rationale for each in drive.candidates.values())


@pytest.mark.parametrize("labels", [{}, {"rung": "0"}, {"space": "plain", "network": "zz"}, {"space": "of others"}])
def test_what_nobody_can_read_is_left_out(labels: dict[str, str]) -> None:
    foreign = PastTrial("random", None, labels, {"valid_accuracy": 0.9})
    drive = Drive(opened(after(Experience(PIXELS, 3, 5000, 0.1, (foreign,)))))
    plain = Drive(opened(problem_of()))
    assert [drive.candidates[name] for name in drive.search(5)] == [plain.candidates[name] for name in plain.search(5)]


def test_what_is_left_out_still_counts_among_its_like() -> None:
    known = experience(designs_of(), [0.5])
    foreign = PastTrial("random", None, {}, {"valid_accuracy": 0.9})
    (start,) = starts_of(problem_of(), designs_of(), [replace(known, trials=(*known.trials, foreign))], 0)
    assert start.why == "number 2 of 2 of the most similar data (distance 0.50)"


@given(seed=SEEDS, source=st.sampled_from((PIXELS, LARGE)), space=SPACE_NAMES, joint=st.booleans(),
       was_joint=st.booleans(), max_params=st.sampled_from((None, 8_000)),
       max_flops=st.sampled_from((None, 500_000)))  # fmt: skip
@settings(max_examples=15)
def test_they_keep_the_bounds_and_are_different(
    seed: int, source: Input, space: str, joint: bool, was_joint: bool, max_params: int | None, max_flops: int | None
) -> None:
    told = experience(designs_of(source, "all", was_joint), [0.1 * number for number in range(10)], source=source)
    problem = replace(problem_of(PIXELS, max_params, max_flops=max_flops), past=Told(told))
    drive = Drive(opened(problem, seed, space=space, joint=joint, warm=10, mode="asha"))
    drive.propose(12)
    found = remembered(drive)
    if space == "all" and max_params is None and max_flops is None:
        assert len(found) == 10
    assert all((each.recipe.learning_rate is not None) is joint for each in found)
    assert len({canonical_hash(graph) for graph in drive.graphs.values()}) == len(drive.graphs)
    for graph in drive.graphs.values():
        assert max_params is None or cost(graph).params <= max_params
        assert max_flops is None or cost(graph).flops <= max_flops


@given(seed=SEEDS, calls=CALLS, mode=st.sampled_from(("asha", "hyperband")), joint=st.booleans())
@settings(max_examples=10)
def test_a_replay_gives_the_same(seed: int, calls: list[Call], mode: str, joint: bool) -> None:
    told = [experience(designs_of(LARGE, "all"), [0.5, 0.7, 0.6], 0.2, 1, LARGE), experience(designs_of(), [0.5, 0.4])]
    given_settings = {"mode": mode, "space": "all", "joint": joint}
    rebuilt = driven(after(*told), seed, calls, True, **given_settings)
    whole = driven(after(*told), seed, calls, False, **given_settings)
    assert rebuilt.candidates == whole.candidates
    assert rebuilt.run.propose(3, BUDGET) == whole.run.propose(3, BUDGET)


def test_another_answer_after_a_restart_changes_what_comes_later_alone() -> None:
    designs = designs_of()
    one, other = experience(designs, [0.5] * 6, seed=1), experience(designs, [0.5] * 6, seed=2)
    drive = Drive(opened(after(one)))
    names = drive.propose(4)
    drive.run = opened(after(other))
    drive.ingest(*(log := drive.log.copy()))
    drive.log = log
    names += drive.propose(4)
    assert sum(FROM in drive.candidates[name].labels for name in names) == 5
    found = [canonical_hash(drive.graphs[name]) for name in names]
    assert found[1:4] == networks(one, designs)[:3]
    assert found[4:6] == networks(other, designs)[:2]


def test_one_that_is_rejected_is_not_proposed_again() -> None:
    drive = Drive(opened(after(experience(designs_of(), [0.9, 0.8, 0.7])), warm=2))
    for name in drive.propose(2):
        drive.end(name, fate=Fate.IS_REJECTED)
    drive.propose(3)
    assert len(remembered(drive)) == 2


@pytest.mark.parametrize(("runs", "count"), [(0, 5), (2, 5), (3, 0)])
def test_the_first_day_counts_until_there_are_three_data_sets(runs: int, count: int) -> None:
    told = [Experience(PIXELS, 3, 5000 + number, 0.1, ()) for number in range(runs)]
    known = replace(experience(designs_of(), [0.5] * 6, distance=float("nan")), classes=7)
    drive = Drive(Hyperband((known,)).open(after(*told), {}, 0))
    answer = drive.run.propose(7, BUDGET)
    assert isinstance(answer, Proposals)
    assert sum(FROM in each.labels for each in answer.candidates) == count
