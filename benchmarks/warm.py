"""Whether `hyperband` begins better with what was learned on other data: each data set is left out by turns.

Earlier runs on all other data sets have trained some of the table's networks each, drawn by the seed; the first five
networks that the portfolio proposes for the data set that is left out are looked up there, and so are five random ones.
Prints the best accuracy of five in the mean over the seeds, and p of the pairs, by a one-sided signed-rank test.
`--ship` writes the best of all data sets into what the plugin begins with on its first day.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

import numpy as np
import report
from table import designs_of, is_usual, lines, recipe_of

from neunets.conform.significance import signed_rank
from neunets.draws import generator
from neunets.simulation import Recorded, shipped
from neunets.spaces import Configuration, Designs
from neunets.synthesizer import Experience, PastTrial, Problem
from neunets_hyperband.first_day import SHIPPED, compared, spelt_experiences
from neunets_hyperband.warm import starts_of

# Networks that an earlier run has trained, and of those the ones that are told of; proposals that are compared.
TRAINED, TOLD, FIRST = 60, 8, 5
P: Final = 0.05
EARLIEST: Final = 3


def experience(recorded: Recorded, numbers: list[int]) -> Experience:
    """Of a run that has trained these of the table, the best first."""
    rows = {line["number"]: line for line in lines(recorded.name)}
    # Of the others the labels do not tell the training.
    searched = [rows[number] for number in numbers if not is_usual(number)]
    ended = [row for row in searched if len(row["accuracy"]) == recorded.epochs]
    best = sorted(ended, key=lambda line: -line["accuracy"][-1])[:TOLD]
    problem = recorded.problem
    trials = tuple(
        PastTrial("hyperband", None, line["labels"], {"valid_accuracy": line["accuracy"][-1]}, line["seconds"])
        for line in best
    )
    return Experience(
        problem.input,
        problem.classes,
        problem.train_rows,
        0.0,
        trials,
        problem.mirror_keeps_class,
        problem.meta_features,
    )


def looked_up(designs: Designs, chosen: Configuration, recorded: Recorded) -> float:
    """Last accuracy of the most similar training; chance where that has diverged."""
    row = recorded.nearest(designs.graph(chosen), recipe_of(chosen, designs))
    return float(np.nan_to_num(recorded.accuracies[row, -1], nan=1.0 / recorded.problem.classes))


def left_out(recorded: Recorded, others: list[Recorded], numbers: list[int], seed: int) -> tuple[float, float]:
    """The best of five, warm and at random."""
    problem: Problem = recorded.problem
    designs, rng = designs_of(problem), generator(seed, 0)
    told = [experience(each, rng.choice(numbers, TRAINED, replace=False).tolist()) for each in others]
    starts = starts_of(problem, designs, compared(problem, told), seed)[:FIRST]
    warm = max(looked_up(designs, each.configuration, recorded) for each in starts)
    drawn = (designs.parameters.sample(generator(seed, 1, draw)) for draw in range(FIRST))
    return warm, max(looked_up(designs, chosen, recorded) for chosen in drawn)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--ship", action="store_true")
    arguments = parser.parse_args()
    table, result, is_better = shipped(), dict[str, Any](), True
    numbers = sorted(set.intersection(*({line["number"] for line in lines(each.name)} for each in table.recorded)))
    for recorded in table.recorded:
        others = [each for each in table.recorded if each is not recorded]
        pairs = [left_out(recorded, others, numbers, seed) for seed in range(arguments.seeds)]
        chance = signed_rank([warm - cold for warm, cold in pairs])
        warm, cold = np.mean(pairs, axis=0)
        is_better &= chance < P
        result[recorded.name] = {"warm": float(warm), "random": float(cold), "p": chance, "pairs": pairs}
        told = f"best of {FIRST} {warm:.4f}, at random {cold:.4f}, p {chance:.2g}"
        print(f"{recorded.name}, after {len(others)} others: {told}")
    print(report.write("warm", list(range(arguments.seeds)), result))
    if arguments.ship:
        SHIPPED.write_text(spelt_experiences([experience(each, numbers) for each in table.recorded]))
        print(SHIPPED)
    return 0 if is_better and len(table.recorded) > EARLIEST else 1


if __name__ == "__main__":
    sys.exit(main())
