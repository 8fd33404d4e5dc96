"""Searches against each other, against the evolution's template and against a fixed network, at equal wall time.

Each data set and seed: `neunets synthesize` with each search algorithm as its user runs it, `hyperband` with networks
and hyper-parameters together and without what has done well on other data; then, with the same trainer on all cores for
the whole budget, the template that the evolution began with, and the hand-tuned network of `accuracy.py`. Prints test
accuracies and what each second of a synthesis was spent on; the result's file has, of each search, its best accuracy
over the seconds that its trials have taken, and the steps of the winner's lineage.

Each data set has its own result. `--add` keeps what was measured on such a machine with these versions, and goes on
with the seeds and contestants that are left.
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
from google.protobuf.json_format import MessageToDict, ParseDict

from neunets.graph.v1 import graph_pb2
from neunets.service.v1 import service_pb2
from neunets.wire import graph_from_proto
from neunets_client.budget import seconds
from neunets_client.client import Client
from neunets_client.connection import Connection

# With their settings.
SEARCHES: Final = {"ncevolve": (), "random": (), "hyperband": ("joint=true", "warm=0")}
RIVALS: Final = ("random", "template")
CONTESTANTS: Final = (*SEARCHES, "template", "fixed")


def searched(name: str, data: str, budget: str, seed: int, home: Path) -> dict[str, Any]:
    """One synthesis, with its curve."""
    options = [option for setting in SEARCHES[name] for option in ("--setting", setting)]
    found = accuracy.synthesis(data, budget, seed, home, "--synthesizer", name, *options)
    with Connection(None, home) as connection:
        client, run = Client(connection), f"runs/{found['run']}"
        models, line = list(client.models(run)), [asdict(relative) for relative in client.lineage(run)]
    trials = [model for model in models if not model.final]
    final_s = sum(model.result.device_s for model in models if model.final)
    spent: dict[str, float] = {"search_device_s": sum(model.result.device_s for model in trials)}
    spent |= {"final_device_s": final_s, "wall_s": found["wall_s"]}
    spent = {key: round(value, 1) for key, value in spent.items()}
    children = sum(bool(model.lineage) for model in trials)
    template = MessageToDict(trials[0].graph)
    told = {"spent": spent, "children": children, "curve": curve(trials), "winner": line, "template": template}
    return found | told


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


def contest(name: str, data: str, budget: str, seed: int, row: dict[str, Any], home: Path) -> None:
    """One more contestant of a row; the template is the first network of the evolution, which goes before it."""
    budget_s = seconds(budget)
    if name in SEARCHES:
        row[name] = searched(name, data, budget, seed, home)
    elif name == "fixed":
        row[name] = accuracy.fixed(accuracy.tuned, data, budget_s, seed, home)
    else:
        template = graph_from_proto(ParseDict(row["ncevolve"]["template"], graph_pb2.Graph()))
        row[name] = accuracy.fixed(lambda given, classes: template, data, budget_s, seed, home)
    told = ", ".join(f"{key} {value}" for key, value in row[name].get("spent", {}).items())
    print(f"{budget}, seed {seed}: {name} {row[name]['test']:.4f}; {told}".rstrip("; "), flush=True)


def summary(name: str, rows: dict[int, dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """Means over the seeds that every contestant of any seed has run.

    And whether the evolution is behind none of its rivals.
    """
    there = [each for each in CONTESTANTS if any(each in row for row in rows.values())]
    whole = {seed: row for seed, row in rows.items() if row.keys() >= set(there)}
    result: dict[str, Any] = {"rows": rows, "whole_seeds": sorted(whole)}
    if not whole or "ncevolve" not in there:
        return result, True
    means = {each: statistics.fmean(row[each]["test"] for row in whole.values()) for each in there}
    errors = {each: round((1 - means["ncevolve"]) / (1 - mean), 3) for each, mean in means.items()}
    print(f"{name}: {len(whole)} seeds, test {means}, error of ncevolve over {errors}", flush=True)
    behind = [each for each in RIVALS if means["ncevolve"] < means.get(each, 0.0)]
    return result | {"mean_test": means, "error_over": errors}, not behind


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="NAME=DATA, where DATA is what `neunets synthesize` takes")
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--add", action="store_true", help="to what was measured here before, of this very code")
    arguments = parser.parse_args()
    ahead = True
    with tempfile.TemporaryDirectory() as scratch:
        for name, _, data in (entry.partition("=") for entry in arguments.data):
            file = f"search-{name}-{arguments.budget}"
            known = report.read(file).get("rows", {}) if arguments.add else {}
            rows: dict[int, dict[str, Any]] = {int(seed): row for seed, row in known.items()}
            for seed in arguments.seeds:
                row = rows.setdefault(seed, {})
                for contestant in CONTESTANTS:
                    if contestant in arguments.contestants and contestant not in row:
                        contest(contestant, data, arguments.budget, seed, row, Path(scratch))
                        report.write(file, sorted(rows), {"rows": rows})
            result, is_ahead = summary(name, rows)
            print(report.write(file, sorted(rows), result), flush=True)
            ahead = ahead and is_ahead
    return 0 if ahead else 1


if __name__ == "__main__":
    sys.exit(main())
