"""A synthesis under a wall budget, against fixed networks that train for the same time on the same machine.

Each seed: `neunets synthesize DATA --budget …` as its user runs it, timed from outside; then two three-layer networks,
nobody's search, trained by the same trainer on all cores for the whole budget. Prints test accuracies, the ratio of the
errors (below 1: the synthesis is better) and how the wall time keeps to the budget.
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
from pathlib import Path
from typing import Any, Final

import report
import torch

from neunets.graph import Graph, Input, Node
from neunets.wire import input_from_proto
from neunets_client.budget import seconds
from neunets_client.client import Client
from neunets_client.connection import Connection
from neunets_trainer.data import load_data
from neunets_trainer.precision import choose
from neunets_trainer.recipe import Recipe
from neunets_trainer.training import Ended, Order, Task, run

# Wall time may pass the budget by so much of it, and so many seconds.
OVERTIME: Final = (0.02, 5.0)


def dense(given: Input, classes: int) -> Graph:
    """Three layers: 128 and 64 hidden units."""
    nodes = (
        Node("flat", "flatten", (given.name,)),
        Node("one", "linear", ("flat",), {"units": 128}),
        Node("one/relu", "activation", ("one",), {"function": "relu"}),
        Node("two", "linear", ("one/relu",), {"units": 64}),
        Node("two/relu", "activation", ("two",), {"function": "relu"}),
        Node("logits", "linear", ("two/relu",), {"units": classes}),
    )
    return Graph(given, nodes, "logits")


def convolutional(given: Input, classes: int) -> Graph:
    """Three layers: two convolutions of 16 and 32 channels with pooling, and the logits."""
    nodes = (
        Node("one", "conv", (given.name,), {"channels": 16, "kernel": 3, "bias": True}),
        Node("one/relu", "activation", ("one",), {"function": "relu"}),
        Node("one/pool", "max_pool", ("one/relu",), {"kernel": 2}),
        Node("two", "conv", ("one/pool",), {"channels": 32, "kernel": 3, "bias": True}),
        Node("two/relu", "activation", ("two",), {"function": "relu"}),
        Node("two/pool", "max_pool", ("two/relu",), {"kernel": 2}),
        Node("flat", "flatten", ("two/pool",)),
        Node("logits", "linear", ("flat",), {"units": classes}),
    )
    return Graph(given, nodes, "logits")


FIXED: Final = {"dense": dense, "convolutional": convolutional}


def synthesis(data: str, budget: str, seed: int, home: Path) -> dict[str, Any]:
    """What the command said, and its wall time from outside."""
    command = [sys.executable, "-m", "neunets_client", "synthesize", data, "--budget", budget, "--seed", str(seed)]
    command += ["--home", str(home), "--out", str(home / f"out{seed}"), "--json"]
    begin = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    wall_s = time.monotonic() - begin
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    del outcome["model"]
    return outcome | {"wall_s": round(wall_s, 3)}


def fixed(name: str, data: str, budget_s: float, seed: int, home: Path) -> dict[str, Any]:
    """The fixed network, trained for the whole budget on every core."""
    with Connection(None, home) as connection:
        dataset = Client(connection).register(data, seed)
    graph = FIXED[name](input_from_proto(dataset.input), len(dataset.classes))
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    arrays = load_data(home / "datasets" / dataset.sha256, "cpu")
    # Half the usual rate, since there is no batch norm.
    recipe = Recipe(device_s=budget_s, learning_rate=0.05, batch_size=min(128, max(8, dataset.train_rows // 16)))
    task = Task(graph, recipe, seed, arrays, precision=choose("cpu", home / "cache"), final=True)
    *_, last = run(task, lambda: Order.CONTINUE)
    assert isinstance(last, Ended)
    return {"test": last.metrics["test_accuracy"], "epochs": last.metrics["epochs"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the data, for the result's file")
    parser.add_argument("data", help="what `neunets synthesize` takes")
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--goal", type=float, help="test accuracy that the median has to reach")
    arguments = parser.parse_args()
    budget_s = seconds(arguments.budget)
    latest_s = budget_s * (1 + OVERTIME[0]) + OVERTIME[1]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        for seed in arguments.seeds:
            row: dict[str, Any] = {"seed": seed, "synthesis": synthesis(arguments.data, arguments.budget, seed, home)}
            found = row["synthesis"]
            print(
                f"seed {seed}: synthesis {found['test']:.4f} in {found['wall_s']:.1f} s of {budget_s:.0f}", flush=True
            )
            for name in FIXED:
                row[name] = fixed(name, arguments.data, budget_s, seed, home)
                print(f"seed {seed}: fixed {name} {row[name]['test']:.4f}", flush=True)
            rows.append(row)
    test = {name: statistics.fmean(row[name]["test"] for row in rows) for name in ("synthesis", *FIXED)}
    ratios = {name: (1 - test["synthesis"]) / (1 - test[name]) for name in FIXED}
    slowest_s = max(row["synthesis"]["wall_s"] for row in rows)
    print(f"mean test accuracy: {', '.join(f'{name} {value:.4f}' for name, value in test.items())}")
    print(f"error of the synthesis / of the fixed net: {', '.join(f'{n} {v:.2f}' for n, v in ratios.items())}")
    print(f"wall time / budget: {slowest_s / budget_s:.3f} at most")
    median = statistics.median(row["synthesis"]["test"] for row in rows)
    held = slowest_s <= latest_s and (arguments.goal is None or median >= arguments.goal)
    result = {
        "budget_s": budget_s,
        "rows": rows,
        "mean_test": test,
        "error_ratio": ratios,
        "wall_ratio": slowest_s / budget_s,
    }
    print(report.write(f"synthesis-{arguments.name}", arguments.seeds, result))
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
