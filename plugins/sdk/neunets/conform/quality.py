"""Quality: how well a plugin searches, in virtual time on recorded trainings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Final

import numpy as np

from neunets.conform.check import Check, Level, Skipped, Violation
from neunets.conform.significance import signed_rank
from neunets.conform.virtual import Played, Setting, epoch_s, looked_up
from neunets.draws import generator
from neunets.simulation import RECORDED_SPACES, Recorded, shipped
from neunets.spaces import Designs
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

if TYPE_CHECKING:
    from neunets.conform.bench import Bench

__all__ = ["CHECKS", "Sample", "played_by", "random_search", "setting_of"]

SLOTS: Final = 4
# Whole trainings of a typical network that the time of a run is enough for.
TRAININGS: Final = 30
LEVEL: Final = 0.05
MOST_WASTED: Final = 0.1
FEWEST_PREDICTIONS: Final = 20
# Mean square of errors in the deviations that were predicted.
CALIBRATED: Final = (0.25, 4.0)
FEWEST_STOPS, MOST_WRONG_STOPS = 10, 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """Of each seed one run as it is, one whose results are those of other networks, and a random search.

    Of each run the best accuracy so far, in the mean over its time, between chance and the best recorded one: 0..1.
    """

    played: tuple[Played, ...]
    scores: tuple[float, ...]
    deaf: tuple[float, ...]
    random: tuple[float, ...]


def setting_of(recorded: Recorded) -> Setting:
    typical_s = float(np.median([epoch_s(flops, recorded) for flops in recorded.flops])) * recorded.epochs
    return Setting(recorded, TRAININGS * typical_s / SLOTS, SLOTS)


def random_search(setting: Setting, seed: int, spaces: Sequence[str] = RECORDED_SPACES) -> Played:
    """Networks of the `spaces` and trainings as they are drawn, each trained to its end."""
    recorded, played = setting.recorded, Played()
    problem, free_s = recorded.problem, [0.0] * setting.slots
    designs = Designs.of(problem, spaces, ("constant",), problem.max_flops)
    measured = list[tuple[float, float]]()
    while min(free_s) < setting.wall_s:
        slot = free_s.index(min(free_s))
        drawn = designs.parameters.sample(generator(seed, played.trainings))
        curve, pass_s = looked_up(designs, drawn, recorded)
        for epoch in range(1, curve.epochs + 1):
            measured.append((free_s[slot] + epoch * pass_s, curve.accuracy(epoch)))
        free_s[slot] += curve.epochs * pass_s
        played.trainings += 1
    for now_s, accuracy in sorted(measured):
        if now_s <= setting.wall_s:
            played.measured(now_s, accuracy)
    return played


def played_by(bench: Bench) -> Sample:
    """Raises: Violation where a run breaks off."""
    table, stops = shipped(), bench.has(pb.CAPABILITY_STOP_TRIALS)
    played, scores, deaf, random = list[Played](), list[float](), list[float](), list[float]()
    for number in range(bench.options.runs):
        setting, seed = setting_of(table.recorded[number % len(table.recorded)]), bench.seed(number)
        played.append(bench.virtual(setting, seed).play(stops))
        heard = generator(seed, number).permutation(len(setting.recorded.accuracies))
        unheard = bench.virtual(replace(setting, heard=heard), seed).play(stops)
        scores.append(_score(played[-1], setting))
        deaf.append(_score(unheard, setting))
        random.append(_score(random_search(setting, seed), setting))
    return Sample(tuple(played), tuple(scores), tuple(deaf), tuple(random))


def _score(played: Played, setting: Setting) -> float:
    chance = 1.0 / setting.recorded.problem.classes
    return (played.mean(setting.wall_s, chance) - chance) / (setting.recorded.best - chance)


def _beats_random(bench: Bench) -> None:
    sample = bench.survey.sample(bench)
    _is_above(sample.scores, sample.random, "random search")


def _learns(bench: Bench) -> None:
    sample = bench.survey.sample(bench)
    _is_above(sample.scores, sample.deaf, "the plugin itself where it hears the results of other networks")


def _is_above(scores: Sequence[float], others: Sequence[float], who: str) -> None:
    """Raises: Violation."""
    chance = signed_rank([mine - theirs for mine, theirs in zip(scores, others, strict=True)])
    if chance >= LEVEL:
        told = f"{fmean(scores):.3f} in the mean of {len(scores)} runs, {fmean(others):.3f} by {who}"
        raise Violation(f"{told}: better only with p = {chance:.3f}")


def _wastes_little(bench: Bench) -> None:
    played = bench.survey.sample(bench).played
    proposed = sum(each.proposed for each in played)
    rejected = Counter[str]()
    for each in played:
        rejected.update(each.rejected)
    if rejected.total() > MOST_WASTED * proposed:
        codes = ", ".join(f"{count} {code}" for code, count in rejected.most_common())
        raise Violation(f"{rejected.total()} of {proposed} candidates were rejected: {codes}")


def _is_calibrated(bench: Bench) -> None:
    said = [each for played in bench.survey.sample(bench).played for each in played.predictions]
    squares = [((came - mean) / deviation) ** 2 for mean, deviation, came in said if deviation > 0.0]
    if len(squares) < FEWEST_PREDICTIONS:
        raise Skipped(f"{len(squares)} predictions with a deviation, {FEWEST_PREDICTIONS} are needed")
    low, high = CALIBRATED
    if not low <= fmean(squares) <= high:
        wrong = "too certain" if fmean(squares) > high else "too uncertain"
        text = f"errors of {len(squares)} predictions are {math.sqrt(fmean(squares)):.2f} deviations: {wrong}"
        raise Violation(text)


def _stops_rightly(bench: Bench) -> None:
    stopped = [each for played in bench.survey.sample(bench).played for each in played.stopped]
    if len(stopped) < FEWEST_STOPS:
        raise Skipped(f"{len(stopped)} trials were stopped, {FEWEST_STOPS} are needed")
    wrong = sum(end > best for end, best in stopped)
    if wrong > MOST_WRONG_STOPS * len(stopped):
        raise Violation(f"{wrong} of {len(stopped)} stopped trials would have become the best of their run")


CHECKS: Final = (
    Check(
        "quality/beats-random",
        "On recorded trainings, in runs of equal virtual time, the best accuracy so far is in the mean above "
        "that of random search, by a one-sided signed-rank test with p < 0.05.",
        Level.QUALITY,
        _beats_random,
    ),
    Check(
        "quality/learns",
        "It is above that of the plugin itself where it hears the results of other networks than its own, by the same "
        "test: random search in disguise is not.",
        Level.QUALITY,
        _learns,
    ),
    Check(
        "quality/waste",
        "At most a tenth of the candidates are rejected.",
        Level.QUALITY,
        _wastes_little,
    ),
    Check(
        "quality/predictions",
        "Errors of predictions are half to twice the deviations that come with them.",
        Level.QUALITY,
        _is_calibrated,
        needs=pb.CAPABILITY_PREDICTION,
    ),
    Check(
        "quality/stops",
        "Of the trials that the plugin stops at most a tenth would have become the best of their run.",
        Level.QUALITY,
        _stops_rightly,
        needs=pb.CAPABILITY_STOP_TRIALS,
    ),
)
