"""A synthesis under a wall budget, against a fixed network that trains for the whole budget in the same program.

Each budget and seed: `neunets synthesize DATA --budget …` as its user runs it, timed from outside; then a network that
an experienced designer tuned by hand for such images, nobody's search, trained by the same trainer on all cores for the
whole budget. Prints test accuracies, their difference, and how wall time and memory keep to their limits.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import report
import torch

from neunets.cost import cost
from neunets.graph import Graph, Input, Node
from neunets.wire import input_from_proto
from neunets_client.budget import seconds
from neunets_client.client import Client
from neunets_client.connection import Connection
from neunets_trainer.choices import choose
from neunets_trainer.data import load_data
from neunets_trainer.recipe import Recipe
from neunets_trainer.task import Ended, Order, Task
from neunets_trainer.training import run

# Wall time may pass the budget by so much of it, and so many seconds.
OVERTIME: Final = (0.02, 3.0)
# Accuracy that the synthesis may lack of the fixed network's, in the mean over the seeds.
BEHIND: Final = 0.005
MOST_BYTES: Final = 3 << 30
# Of the fixed network: widths of its stages, each two convolutions but the first.
WIDTHS: Final = (32, 64, 128)
# What helps it in a training that is long enough to learn by heart, from so many seconds on.
LONG: Final[dict[str, Any]] = {"shift": 1, "mirror": True}
LONG_S: Final = 300.0


def tuned(given: Input, classes: int) -> Graph:
    """Three stages of convolution, batch norm and ReLU with pooling between, global pooling, logits."""
    nodes: list[Node] = []

    def add(name: str, op: str, **attributes: int | str) -> None:
        nodes.append(Node(name, op, (nodes[-1].name if nodes else given.name,), attributes))

    for stage, width in enumerate(WIDTHS):
        if stage:
            add(f"pool{stage}", "max_pool", kernel=2, stride=2)
        for number in range(1 if not stage else 2):
            add(f"conv{stage}{number}", "conv", channels=width, kernel=3)
            add(f"norm{stage}{number}", "batch_norm")
            add(f"relu{stage}{number}", "activation", function="relu")
    add("pool", "global_pool", function="avg")
    add("logits", "linear", units=classes)
    return Graph(given, tuple(nodes), "logits")


def synthesis(data: str, budget: str, seed: int, home: Path, *options: str) -> dict[str, Any]:
    """What the command said, and its wall time from outside."""
    command = [sys.executable, "-m", "neunets_client", "synthesize", data, "--budget", budget, "--seed", str(seed)]
    command += ["--home", str(home), "--out", str(home / f"out{seed}"), "--json", *options]
    begin = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    wall_s = time.monotonic() - begin
    if done.returncode:
        raise SystemExit(done.returncode)  # the command has said why
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    del outcome["model"]
    return outcome | {"wall_s": round(wall_s, 3)}


def fixed(design: Callable[[Input, int], Graph], data: str, budget_s: float, seed: int, home: Path) -> dict[str, float]:
    """A fixed network, of an input and a number of classes, trained for the whole budget on every core."""
    with Connection(None, home) as connection:
        dataset = Client(connection).register(data, seed)
    graph = design(input_from_proto(dataset.input), len(dataset.classes))
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    arrays = load_data(home / "datasets" / dataset.sha256, "cpu")
    long: dict[str, Any] = LONG if budget_s >= LONG_S else {}
    recipe = Recipe(device_s=budget_s, learning_rate=0.4, batch_size=128, **long)
    chosen = choose("cpu", home / "cache")
    task = Task(graph, recipe, seed, arrays, "cpu", chosen.precision, chosen.memory_format, final=True)
    *_, last = run(task, lambda: Order.CONTINUE)
    assert isinstance(last, Ended)
    return {
        "test": last.metrics["test_accuracy"],
        "epochs": round(last.metrics["epochs"], 2),
        "params": cost(graph).params,
    }


def compared(
    data: str, budget: str, seeds: list[int], home: Path, known: list[dict[str, Any]], keeps: bool
) -> dict[str, Any]:
    """Of one budget: the `known` rows and those of its seeds, and whether all limits hold.

    `keeps`: the synthesis of a known row; its fixed network is trained again.
    """
    budget_s, rows = seconds(budget), [row for row in known if row["seed"] not in seeds]
    kept = {row["seed"]: row["synthesis"] for row in known} if keeps else {}
    for seed in seeds:
        found = kept.get(seed) or synthesis(data, budget, seed, home)
        rows.append({"seed": seed, "synthesis": found, "fixed": fixed(tuned, data, budget_s, seed, home)})
        print(
            f"{budget}, seed {seed}: synthesis {found['test']:.4f} in {found['wall_s']:.1f} s, "
            f"{found['peak_bytes'] / 2**30:.2f} GiB; fixed {rows[-1]['fixed']['test']:.4f}",
            flush=True,
        )
    means = {name: statistics.fmean(row[name]["test"] for row in rows) for name in ("synthesis", "fixed")}
    overtime_s = max(row["synthesis"]["wall_s"] for row in rows) - budget_s
    peak_bytes = max(row["synthesis"]["peak_bytes"] for row in rows)
    limits = {
        "accuracy": means["synthesis"] >= means["fixed"] - BEHIND,
        "wall": overtime_s <= OVERTIME[0] * budget_s + OVERTIME[1],
        "memory": peak_bytes < MOST_BYTES,
    }
    print(
        f"{budget}: mean test accuracy {means['synthesis']:.4f}, fixed {means['fixed']:.4f}; error ratio "
        f"{(1 - means['synthesis']) / (1 - means['fixed']):.2f}; at most {overtime_s:+.1f} s from the budget and "
        f"{peak_bytes / 2**30:.2f} GiB; limits {limits}",
        flush=True,
    )
    return {"rows": rows, "mean_test": means, "overtime_s": overtime_s, "peak_bytes": peak_bytes, "limits": limits}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the data, for the result's file")
    parser.add_argument("data", help="what `neunets synthesize` takes")
    parser.add_argument("--budgets", nargs="+", default=["60s", "10m"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--add", action="store_true", help="to what was measured here before, of this very code")
    parser.add_argument(
        "--fixed", action="store_true", help="with --add: of seeds that are known the fixed network alone, anew"
    )
    arguments = parser.parse_args()
    results = report.read(f"accuracy-{arguments.name}") if arguments.add else {}
    with tempfile.TemporaryDirectory() as scratch:
        for budget in arguments.budgets:
            known = results.get(budget, {}).get("rows", [])
            keeps = arguments.add and arguments.fixed
            results[budget] = compared(arguments.data, budget, arguments.seeds, Path(scratch), known, keeps)
            seeds = sorted({row["seed"] for result in results.values() for row in result["rows"]})
            written = report.write(f"accuracy-{arguments.name}", seeds, results)
    print(written)
    return 0 if all(all(result["limits"].values()) for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
