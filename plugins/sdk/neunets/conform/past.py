"""What the kit's host tells of earlier runs: data sets and trials that are made up, and always the same."""

from __future__ import annotations

from typing import Final

from neunets.draws import generator
from neunets.spaces import ChainSpace
from neunets.synthesizer.past import wanted
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.wire import graph_to_proto, input_from_proto

__all__ = ["SYNTHESIZER", "made_up"]

SYNTHESIZER: Final = "made-up"
# Of each data set: distance, and how many classes more than the problem has.
DATASETS: Final = ((0.5, 0), (2.0, 1))
TRIALS: Final = 3
MOST_FLOPS: Final = 1_000_000
BEST, STEP = 0.9, 0.125


def made_up(problem: pb.Problem, request: pb.QueryExperimentsRequest) -> pb.QueryExperimentsResponse:
    """Raises: InvalidRequest."""
    datasets, trials = wanted(request)
    answer = pb.QueryExperimentsResponse()
    if request.synthesizer in ("", SYNTHESIZER):
        for number in range(len(DATASETS))[:datasets]:
            answer.experiences.append(_experience(problem, number, trials, request.without_graphs))
    return answer


def _experience(problem: pb.Problem, number: int, trials: int, without_graphs: bool) -> pb.Experience:
    distance, more = DATASETS[number]
    experience = pb.Experience(input=problem.input, dataset=problem.dataset, distance=distance)
    dataset = experience.dataset
    dataset.classes += more
    rows = dataset.train_rows // dataset.classes
    dataset.class_rows[:] = [rows] * dataset.classes
    dataset.train_rows = rows * dataset.classes
    dataset.sha256 = f"{number:064x}"
    space = ChainSpace(input_from_proto(problem.input), dataset.classes, max_flops=MOST_FLOPS)
    for rank in range(min(TRIALS, trials)):
        graph = space.sample(generator(number, rank))
        candidate = pb.Candidate(graph=graph_to_proto(graph), recipe=pb.Recipe(epochs=1.0), rationale="made up")
        if without_graphs:
            candidate.ClearField("graph")
        metrics = {objective.metric: BEST - STEP * rank for objective in problem.objectives}
        experience.trials.add(
            run=f"past-{number}", synthesizer=SYNTHESIZER, candidate=candidate, metrics=metrics, device_s=1.0
        )
    return experience
