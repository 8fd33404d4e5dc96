"""Hyperband as a synthesizer: the fold over the events, and the three operations on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neunets.cost import cost
from neunets.draws import generator
from neunets.errors import UnsupportedProblem
from neunets.graph import Graph
from neunets.spaces import SPACES, ChainSpace, Designs
from neunets.synthesizer import (
    Assessment,
    Budget,
    Candidate,
    Description,
    Event,
    Exhausted,
    Experience,
    Problem,
    Proposals,
    Proposed,
    Verdict,
    Wait,
)
from neunets_hyperband.ladder import Ladder, planned
from neunets_hyperband.model import Guide, Results, guide_of
from neunets_hyperband.progress import progress_of, told
from neunets_hyperband.proposer import DRAWS, Proposer
from neunets_hyperband.settings import SCHEMA, Modelling, Representation, Settings, settings_of
from neunets_hyperband.stopping import hopeless
from neunets_hyperband.trainings import Status, Training, Trainings
from neunets_hyperband.warm import Warm

__all__ = ["Hyperband", "HyperbandRun"]


class Hyperband:
    def __init__(self, first_day: Sequence[Experience] = ()) -> None:
        """`first_day`: what a run may begin with where earlier ones have told little."""
        self._first_day = first_day

    def describe(self) -> Description:
        return Description(
            "hyperband",
            "0.1.0",
            "Many networks train a little, the best train on; a model of the results draws the next ones.",
            settings=SCHEMA,
            hears_injected=True,
            continues_trials=True,
            stops_trials=True,
            propose_p99_s=5.0,
        )

    def open(self, problem: Problem, settings: Mapping[str, object], seed: int) -> HyperbandRun:
        return HyperbandRun(problem, settings_of(settings), seed, self._first_day)


class HyperbandRun:
    """One run. Candidate k draws from the seed and k, so that a replay restores everything.

    The rungs are decided with the first candidate, and are in the labels of all; so is each configuration, and that it
    has done well on other data: were these told of differently in a replay, only what is proposed later would change.
    """

    def __init__(self, problem: Problem, settings: Settings, seed: int, first_day: Sequence[Experience]) -> None:
        """Raises: UnsupportedProblem, which names the smallest bounds that could be kept."""
        self._problem, self._settings, self._seed = problem, settings, seed
        self._trainings = Trainings(problem.metric)
        self._places: dict[str, NDArray[np.float64]] = {}  # of configurations, by network
        self._built: tuple[int | None, Designs] | None = None  # the last ones, with their bound
        self._designs = self._designs_within(problem.max_flops)
        self._warm = Warm(problem, self._designs, first_day, seed)
        if problem.max_flops is not None:
            smallest = (space.graph(space.parameters.first()) for space in self._designs.spaces.values())
            flops = min(cost(graph).flops for graph in smallest)
            if flops > problem.max_flops:
                text = f"the smallest network has {flops:,} operations: raise max_flops to at least {flops:,}"
                raise UnsupportedProblem(text)

    def propose(self, want: int, budget: Budget) -> Proposals | Wait | Exhausted:
        proposer, ahead, found = self._proposer(budget), self._trainings.copied(), list[Candidate]()
        for number in range(want):
            candidate = proposer.candidate(ahead)
            if candidate is None:
                break
            found.append(candidate)
            ahead.apply(Proposed(((f"ahead{number}", candidate),)))
        if found:
            return Proposals(tuple(found))
        if self._trainings.is_open:
            return Wait("a rung waits for its results, and there are no new networks")
        return Exhausted("every network of the space was tried, and nobody can train on")

    def ingest(self, events: Sequence[Event]) -> None:
        for event in events:
            self._trainings.apply(event)

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        trainings, progress = self._trainings, progress_of(self._trainings, budget)
        if trainings.ladder is None:
            return Assessment(progress=progress, reason="nothing was proposed yet")
        reason = told(trainings, trainings.ladder)
        unhurried = replace(budget, wall_s_left=None)
        if not trainings.is_open and self._proposer(unhurried).candidate(trainings) is None:
            return Assessment(Verdict.CONVERGED, progress, reason=f"{reason}; every network of the space was tried")
        stop = hopeless(trainings, trainings.ladder, running, self._settings)
        return Assessment(Verdict.CONTINUE, progress, reason=reason, stop=stop)

    def _proposer(self, budget: Budget) -> Proposer:
        most_flops = budget.most_flops(self._settings.passes, self._problem)
        designs = self._designs_within(most_flops)
        ladder = self._trainings.ladder
        standard = None if ladder is not None else self._standard(most_flops)
        if ladder is None:
            rows, limit = self._problem.train_rows, self._problem.most_epochs()
            ladder = planned(self._settings, rows, designs.typical_flops(), budget, limit)
        guide = self._guide(ladder)
        return Proposer(self._problem, self._settings, self._seed, budget, designs, ladder, guide, standard, self._warm)

    def _designs_within(self, most_flops: int | None) -> Designs:
        """Raises: UnsupportedProblem."""
        if self._built is None or self._built[0] != most_flops:
            space, joint = self._settings.space, self._settings.joint
            names = tuple(SPACES) if space is Representation.ALL else (space.value,)
            self._built = most_flops, Designs.of(self._problem, names, ("constant",) if joint else (), most_flops)
        return self._built[1]

    def _standard(self, most_flops: int | None) -> Graph | None:
        """None: it does not keep the user's bound."""
        problem = self._problem
        try:
            return ChainSpace(problem.input, problem.classes, problem.max_params, most_flops).standard()
        except UnsupportedProblem:
            return None

    def _guide(self, ladder: Ladder) -> Guide | None:
        """None: without rungs, or where chance alone decides."""
        if not ladder.epochs or self._settings.model is Modelling.NONE:
            return None
        rungs = self._results(len(ladder.epochs))
        rng = generator(self._seed, self._trainings.proposed, DRAWS)
        return guide_of(self._settings.model, self._designs.parameters, rungs, rng)

    def _results(self, rungs: int) -> list[Results]:
        """Of the networks that have a configuration: the standard one and the user's have none."""
        ended: list[list[Training]] = [[] for _ in range(rungs)]
        highest = dict[str, int]()  # rung, by network
        for each in self._trainings.all:
            if each.status is Status.ENDED and each.design:
                ended[each.rung].append(each)
                highest[each.network] = max(each.rung, highest.get(each.network, 0))
        return [
            Results(
                np.array([self._place(each) for each in there]).reshape(len(there), len(self._designs.parameters)),
                np.array([each.value for each in there], np.float64),
                np.array([each.rung < highest[each.network] for each in there], np.bool_),
            )
            for there in ended
        ]

    def _place(self, training: Training) -> NDArray[np.float64]:
        """Of its configuration: (D,)."""
        if training.network not in self._places:
            self._places[training.network] = self._designs.parameters.encode(self._designs.read(training.design))
        return self._places[training.network]
