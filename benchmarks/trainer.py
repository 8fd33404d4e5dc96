"""Images per second of the trainer's training, against two loops in plain PyTorch, on the same networks and machine.

The usual loop has a data loader and float32; the tuned one is the best that was written by hand for the machine
(`loops.py`). All take turns, so that what else the machine does hits all alike; ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import gpu
import report
import torch
from loops import BATCH, RECIPE, WARM_UP, rate, split, synchronise, tuned, usual
from nets import NETS, Net

from neunets.machine import TRAINING_ENVIRONMENT, Choices, cache_folder
from neunets_trainer.choices import choose
from neunets_trainer.data import Data, Split
from neunets_trainer.task import Order, Task
from neunets_trainer.training import run

ROWS: Final = 8192
VALID_ROWS: Final = 16
# On a GPU: until the step is captured.
GPU_WARM_UP: Final = 30


class Watch:
    """The order to go on, until the training was timed for long enough."""

    def __init__(self, seconds: float, device: str) -> None:
        self._seconds, self._device = seconds, device
        self._warm_up = GPU_WARM_UP if device.startswith("cuda") else WARM_UP
        self._steps, self._begin, self.images_per_s = -self._warm_up, 0.0, 0.0

    def __call__(self) -> Order:
        """Before each step."""
        now = time.perf_counter()
        if self._steps == 0:
            synchronise(self._device)
            self._begin = time.perf_counter()
        elif self._steps > 0 and now - self._begin >= self._seconds:
            synchronise(self._device)
            self.images_per_s = self._steps * BATCH / (time.perf_counter() - self._begin)
            return Order.ABORT
        self._steps += 1
        return Order.CONTINUE


def ours(net: Net, data: Split, device: str, chosen: Choices, seconds: float) -> float:
    """Images per second of a training as a worker runs it, reports included."""
    watch = Watch(seconds, device)
    valid = Split(data.stored[:VALID_ROWS], data.y[:VALID_ROWS])
    task = Task(net.graph, RECIPE, 0, Data(Path(), device, data, valid), device, chosen.precision, chosen.memory_format)
    for _ in run(task, watch):
        pass
    return watch.images_per_s


def compare(net: Net, device: str, threads: int, chosen: Choices, arguments: argparse.Namespace) -> dict[str, Any]:
    """The loops in turn; images per second of each turn, and the ratios."""
    torch.set_num_threads(threads)
    data, seconds = split(net, ROWS, arguments.seed, device), arguments.seconds
    best, form = tuned(net, data, device)
    plain = usual(net, data, device, threads)
    loops: dict[str, Callable[[], float]] = {
        "ours": lambda: ours(net, data, device, chosen, seconds),
        "usual": lambda: rate(plain, seconds, device),
        "tuned": lambda: rate(best, seconds, device),
    }
    turns: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(arguments.rounds):
        for name, loop in loops.items():
            turns[name].append(loop())
    ratios = {
        name: statistics.median(mine / other for mine, other in zip(turns["ours"], turns[name], strict=True))
        for name in ("usual", "tuned")
    }
    rates = {name: round(statistics.median(values)) for name, values in turns.items()}
    print(
        f"{net.name:12} {threads} threads: ours {rates['ours']:7,} images/s, {ratios['usual']:5.2f} x usual, "
        f"{ratios['tuned']:.3f} x tuned ({form})",
        flush=True,
    )
    return {
        "net": net.name, "threads": threads, "images_per_s": rates, "ratio": ratios, "tuned": str(form),
        "turns": {name: [round(value) for value in values] for name, values in turns.items()},
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=[net.name for net in NETS], help="of those in nets.py")
    parser.add_argument("--seconds", type=float, default=0.7, help="of a turn")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, len(os.sched_getaffinity(0))}))
    parser.add_argument("--seed", type=int, default=0, help="of the images")
    parser.add_argument("--goal", type=float, default=0.95, help="ours / tuned that every network has to reach")
    arguments = parser.parse_args()
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    chosen = choose(device, cache_folder())
    print(f"{device}: {chosen.precision.value}, {chosen.memory_format.value}", flush=True)
    rows = []
    for threads in arguments.threads if device == "cpu" else [1]:
        for net in NETS:
            if net.name in arguments.nets:
                rows.append(compare(net, device, threads, chosen, arguments))
                gc.collect()  # ends the workers of data loaders
    result: dict[str, Any] = {"device": device, "precision": chosen.precision.value, "rows": rows}
    if device != "cpu":
        result["gpu"] = gpu.measure(device, chosen, arguments.seed, ours)
    print(report.write("trainer", [arguments.seed], result))
    worst = min(row["ratio"]["tuned"] for row in rows)
    print(f"ours / tuned: {worst:.3f} at least, goal {arguments.goal}")
    return 0 if worst >= arguments.goal else 1


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in TRAINING_ENVIRONMENT.items()):
        # Read when a process starts. For all loops alike, since workers have it.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **TRAINING_ENVIRONMENT})
    sys.exit(main())
