"""What inherited weights are worth: the epochs that a child needs to pass its parent's accuracy by half a point.

Each seed: a parent is trained for some epochs, and a child comes from it by random morphisms. Then the child is trained
with inherited and with fresh weights, each time for a whole schedule of 1/2, 1, 2, 3, ... epochs, and the first one
counts whose end passes the parent's validation accuracy by half a point: in the middle of a schedule an accuracy is
noise. Fresh weights have the learning rate that is best for them, 0.3, inherited ones a tenth. The ratio of the
epochs is printed.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import report
import torch

from neunets.cost import cost
from neunets.draws import generator
from neunets.errors import InvalidGraph
from neunets.graph import Graph, Input
from neunets.morphisms import BranchAndInsert, Deepen, InsertSkip, Morphism, Widen, WidenKernel, derive, width_step
from neunets.spaces import ChainSpace
from neunets.wire import input_from_proto
from neunets_client.client import Client
from neunets_client.connection import Connection
from neunets_trainer.choices import choose
from neunets_trainer.data import Data, load_data
from neunets_trainer.inheritance import Inheritance
from neunets_trainer.recipe import Recipe
from neunets_trainer.task import Ended, Order, Task
from neunets_trainer.training import run

PARENT_EPOCHS: Final = 4.0
# Of a child: the first that passes counts.
EPOCHS: Final = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
GAIN: Final = 0.005
FLOPS: Final = 3_000_000
STEPS: Final = 2  # morphisms of a child
SHARES: Final = 0.5  # tell copies of a channel apart, see `Widen`
RATE, INHERITED_RATE = 0.3, 0.03
GOAL: Final = 1 / 3


def mutated(graph: Graph, seed: int) -> tuple[Morphism, ...]:
    """Random morphisms, each of which applies to what the ones before it have made."""
    rng, lineage = generator(seed, 0), list[Morphism]()
    while len(lineage) < STEPS:
        node = graph.nodes[rng.integers(len(graph.nodes))].name
        kind = rng.integers(5)
        try:
            step = _step(graph, int(kind), node, int(rng.integers(1 << 32)))
            graph = step.apply(graph)
        except InvalidGraph:
            continue
        lineage.append(step)
    return tuple(lineage)


def _step(graph: Graph, kind: int, node: str, seed: int) -> Morphism:
    if kind == 0:
        width = next(int(str(each.attributes.get("channels", 0))) for each in graph.nodes if each.name == node)
        step = width_step(graph, node)
        return Widen(node, width + step * max(1, round(0.5 * width / step)), seed, shares=SHARES)
    options: Sequence[Morphism] = (
        Deepen(node, norm=True),
        InsertSkip(node, seed=seed),
        BranchAndInsert(node, norm=True),
        WidenKernel(node, 5),
    )
    return options[kind - 1]


def accuracy(task: Task) -> tuple[float, Ended]:
    *_, last = run(task, lambda: Order.CONTINUE)
    assert isinstance(last, Ended), last
    return last.metrics["valid_accuracy"], last


def one_seed(folder: str, given: tuple[Input, int], cache: str, seed: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    return {"seed": seed, **compared(load_data(Path(folder), "cpu"), given, Path(cache), seed)}


def compared(data: Data, given: tuple[Input, int], cache: Path, seed: int) -> dict[str, Any]:
    chosen = choose("cpu", cache)
    parent = ChainSpace(*given, max_flops=FLOPS).standard()
    recipe = Recipe(epochs=PARENT_EPOCHS, learning_rate=RATE)
    task = Task(parent, recipe, seed, data, "cpu", chosen.precision, chosen.memory_format)
    before, left = accuracy(task)
    assert left.weights is not None
    lineage = mutated(parent, seed)
    child = derive(parent, lineage)
    task = replace(task, graph=child, seed=seed + 1000)
    found: dict[str, Any] = {
        "parent": before,
        "lineage": [f"{step.kind} {step.node}" for step in lineage],
        "params": [cost(parent).params, cost(child).params],
    }
    starts = {"fresh": (None, RATE), "inherited": (Inheritance(parent, left.weights, lineage), INHERITED_RATE)}
    for name, (inheritance, rate) in starts.items():
        curve = []
        for epochs in EPOCHS:
            trained = replace(task, recipe=Recipe(epochs=epochs, learning_rate=rate), inheritance=inheritance)
            curve.append((epochs, accuracy(trained)[0]))
            if curve[-1][1] >= before + GAIN:
                break
        found[name] = {"curve": curve, "epochs": curve[-1][0] if curve[-1][1] >= before + GAIN else None}
    return found


def ratio(row: dict[str, Any]) -> float:
    """Epochs with inherited weights over those with fresh ones; where the fresh ones never pass, of the longest."""
    inherited, fresh = row["inherited"]["epochs"], row["fresh"]["epochs"]
    return math.inf if inherited is None else inherited / (fresh or EPOCHS[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the data, for the result's file")
    parser.add_argument("data", help="what `neunets synthesize` takes")
    parser.add_argument("--seeds", type=int, default=6, help="from 0 on")
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        with Connection(None, home) as connection:
            dataset = Client(connection).register(arguments.data, 0)
        folder, given = str(home / "datasets" / dataset.sha256), (input_from_proto(dataset.input), len(dataset.classes))
        choose("cpu", home / "cache")
        with multiprocessing.get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
            jobs = [pool.apply_async(one_seed, (folder, given, str(home / "cache"), seed)) for seed in seeds]
            rows = []
            for job in jobs:
                rows.append(row := job.get())
                print(
                    f"seed {row['seed']}: parent {row['parent']:.4f}, {', '.join(row['lineage'])}: epochs to pass it "
                    f"{row['inherited']['epochs']} inherited, {row['fresh']['epochs']} fresh; ratio {ratio(row):.2f}",
                    flush=True,
                )
    middle = statistics.median(map(ratio, rows))
    result = {"rows": rows, "ratios": [ratio(row) for row in rows], "median": middle, "goal": GOAL}
    print(f"median ratio {middle:.3f}, goal {GOAL:.3f}: {'reached' if middle <= GOAL else 'missed'}")
    print(report.write(f"inheritance-{arguments.name}", list(seeds), result))
    return 0 if middle <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
