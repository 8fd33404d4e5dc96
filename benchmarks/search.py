"""Evolution against random search, against its own template and against a fixed network, at equal wall time.

Each data set and seed: `neunets synthesize` with each search algorithm as its user runs it; then, with the same trainer
on all cores for the whole budget, the template that the evolution began with, and the hand-tuned network of
`accuracy.py`. Prints test accuracies and what each second of a synthesis was spent on; the result's file has, of each
search, its best accuracy over the seconds that its trials have taken, and the steps of the winner's lineage.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import accuracy
import report

from neunets.service.v1 import service_pb2
from neunets.wire import graph_from_proto
from neunets_client.budget import seconds
from neunets_client.client import Client
from neunets_client.connection import Connection

SEARCHES: Final = ("ncevolve", "random")


def searched(name: str, data: str, budget: str, seed: int, home: Path) -> dict[str, Any]:
    """One synthesis, with its curve."""
    found = accuracy.synthesis(data, budget, seed, home, "--synthesizer", name)
    with Connection(None, home) as connection:
        client, run = Client(connection), f"runs/{found['run']}"
        models, line = list(client.models(run)), [asdict(relative) for relative in client.lineage(run)]
    trials = [model for model in models if not model.final]
    final_s = sum(model.result.device_s for model in models if model.final)
    spent: dict[str, float] = {"search_device_s": sum(model.result.device_s for model in trials)}
    spent |= {"final_device_s": final_s, "wall_s": found["wall_s"]}
    spent = {key: round(value, 1) for key, value in spent.items()}
    children = sum(bool(model.lineage) for model in trials)
    return found | {"spent": spent, "children": children, "curve": curve(trials), "winner": line}


def curve(trials: list[service_pb2.Model]) -> list[tuple[float, float]]:
    """(device seconds of all trials up to an end, best validation accuracy until then), where it grows."""
    points, total, best = list[tuple[float, float]](), 0.0, 0.0
    for model in trials:
        total += model.result.device_s
        value = model.result.metrics.get("valid_accuracy", 0.0)
        if value > best:
            best = value
            points.append((round(total, 1), best))
    return points


def compared(name: str, data: str, budget: str, seed: int, home: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"data": name, "seed": seed}
    for search in SEARCHES:
        row[search] = searched(search, data, budget, seed, home)
    with Connection(None, home) as connection:
        first = next(iter(Client(connection).models(f"runs/{row['ncevolve']['run']}")))
    budget_s, template = seconds(budget), graph_from_proto(first.graph)
    row["template"] = accuracy.fixed(lambda given, classes: template, data, budget_s, seed, home)
    row["fixed"] = accuracy.fixed(accuracy.tuned, data, budget_s, seed, home)
    told = ", ".join(f"{each} {row[each]['test']:.4f}" for each in (*SEARCHES, "template", "fixed"))
    evolved = row["ncevolve"]
    print(f"{name}, {budget}, seed {seed}: {told}; {evolved['children']} children, {evolved['spent']}", flush=True)
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="NAME=DATA, where DATA is what `neunets synthesize` takes")
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    result: dict[str, Any] = {"budget": arguments.budget}
    ahead = True
    with tempfile.TemporaryDirectory() as scratch:
        for name, _, data in (entry.partition("=") for entry in arguments.data):
            rows = [compared(name, data, arguments.budget, seed, Path(scratch)) for seed in arguments.seeds]
            means = {
                each: statistics.fmean(row[each]["test"] for row in rows) for each in (*SEARCHES, "template", "fixed")
            }
            errors = {each: round((1 - means["ncevolve"]) / (1 - mean), 3) for each, mean in means.items()}
            ahead = ahead and means["ncevolve"] >= max(means["random"], means["template"])
            result[name] = {"rows": rows, "mean_test": means, "error_over": errors}
            print(f"{name}: error of ncevolve over {errors}", flush=True)
    print(report.write(f"search-{arguments.budget}", arguments.seeds, result))
    return 0 if ahead else 1


if __name__ == "__main__":
    sys.exit(main())
