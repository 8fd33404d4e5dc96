"""What the int8 and float16 exports of a synthesized model cost and save, against its float32 file.

Each data set: `neunets synthesize DATA --budget …`, then `neunets export RUN --format int8 --format float16`, as their
user runs them. Accuracies are on the whole test set; latencies are of one example and of a batch of 64, on one thread,
taken in turns so that a busy moment hits all files alike. Prints ratios to float32. Succeeds if no format was refused.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import report

from neunets_engine.export import latency_ms

ROUNDS: Final = 5
BATCH: Final = 64


def command(*words: object) -> tuple[int, Any]:
    """Exit code, and what the last line on stdout says."""
    done = subprocess.run([sys.executable, "-m", "neunets_client", *map(str, words)], stdout=subprocess.PIPE, text=True)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def latencies(folder: Path, files: list[str], x: np.ndarray) -> dict[str, float]:
    """Median over the rounds, in milliseconds."""
    models = {name: (folder / name).read_bytes() for name in files}
    rounds = [{name: latency_ms(model, x) for name, model in models.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(row[name] for row in rounds) for name in files}


def compare(data: str, budget: str, seed: int, home: Path) -> dict[str, Any]:
    """Each format's figures, and its ratios to float32."""
    out = home / "out"
    common = ("--home", home, "--out", out, "--json")
    _, outcome = command("synthesize", data, "--budget", budget, "--seed", seed, *common)
    code, rows = command("export", outcome["run"], "--format", "int8", "--format", "float16", *common)
    sets = list((home / "datasets").glob("*/x_test.npy"))
    x = np.load(sets[0], mmap_mode="r")[:BATCH]
    files = [row["file"] for row in rows if row["file"]]
    one, many = latencies(out, files, x[:1]), latencies(out, files, x)
    base = rows[0]
    formats = {}
    for row in rows:
        name = row["file"]
        formats[row["format"]] = {
            "accuracy": row["accuracy"],
            "accuracy_change": row["accuracy"] - base["accuracy"],
            "bytes": row["bytes"],
            "bytes_ratio": row["bytes"] / base["bytes"],
            "latency_ms": one.get(name),
            "latency_ratio": one[name] / one["model.onnx"] if name else None,
            "batch_latency_ms": many.get(name),
            "batch_latency_ratio": many[name] / many["model.onnx"] if name else None,
        }
    return {"params": outcome["params"], "refused": code != 0, "formats": formats}


def show(name: str, result: dict[str, Any]) -> None:
    for wanted, row in result["formats"].items():
        if row["latency_ratio"] is None:
            print(f"{name} {wanted}: refused at accuracy {row['accuracy']:.4f}", flush=True)
            continue
        print(
            f"{name} {wanted}: accuracy {row['accuracy']:.4f} ({100 * row['accuracy_change']:+.2f} points), "
            f"bytes {row['bytes_ratio']:.2f}, latency {row['latency_ratio']:.2f}, "
            f"of a batch {row['batch_latency_ratio']:.2f} of float32's",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="NAME=DATA, where DATA is what `neunets synthesize` takes")
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    results = {}
    for entry in arguments.data:
        name, _, data = entry.rpartition("=")
        with tempfile.TemporaryDirectory() as scratch:
            results[name or data] = compare(data, arguments.budget, arguments.seed, Path(scratch))
        show(name or data, results[name or data])
    print(report.write("variants", [arguments.seed], {"budget": arguments.budget, "data": results}))
    return 1 if any(result["refused"] for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
