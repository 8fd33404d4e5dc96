"""A table of trained networks: the same configurations on several data sets, each with its whole learning curve.

Configuration k is drawn from all four spaces and the hyper-parameters beside them, by the seed and k alone; on another
data set it is the same, as far as that one's input allows. Each is trained at a constant rate with averaged weights, so
that the curve up to any epoch is what a training to that epoch gives, and validated after each epoch. Data sets are cut
to a few thousand rows and networks to few operations, so that hundreds come to an end within two hours of two cores.

Every network is kept as soon as it is trained, in `table/NAME.jsonl`; a program that was ended goes on where it was.
Prints how far each data set is, and how its networks differ.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from neunets.cost import cost
from neunets.draws import generator
from neunets.machine import Choices
from neunets.spaces import SPACES, Configuration, Designs
from neunets.synthesizer import Problem
from neunets.wire import input_from_proto
from neunets_client.client import Client
from neunets_client.connection import Connection
from neunets_trainer.choices import choose
from neunets_trainer.data import load_data
from neunets_trainer.recipe import Recipe
from neunets_trainer.schedule import Schedule
from neunets_trainer.task import Ended, Order, Task
from neunets_trainer.training import run

TABLE: Final = Path(__file__).parent / "table"
ROWS: Final = {"train": 2000, "valid": 1000, "test": 2000}
EPOCHS: Final = 27
MAX_FLOPS: Final = 2_000_000
# Each configuration is drawn for an input that has all parameters of the spaces.
WHOLE_INPUT: Final = (32, 32, 3)
SEED: Final = 0
WARMUP: Final = 0.2
LEAST_AVERAGING: Final = 0.1


@dataclass(frozen=True, slots=True)
class Setting:
    """Of one data set: where its rows are, and what may be trained on them."""

    name: str
    folder: Path
    problem: Problem
    choices: Choices


def designs_of(problem: Problem) -> Designs:
    return Designs.of(problem, tuple(SPACES), ("constant",), MAX_FLOPS)


def setting_of(name: str, data: str, home: Path) -> Setting:
    """Rows of each split, the same in each call."""
    with Connection(None, home) as connection:
        dataset = Client(connection).register(data, seed=SEED)
    source, folder = home / "datasets" / dataset.sha256, home / "cut" / name
    folder.mkdir(parents=True)
    rng = np.random.default_rng(SEED)
    split = np.load(source / "split.npy")
    train, valid = (rng.permutation(np.flatnonzero(split == is_valid)) for is_valid in (False, True))
    pool = np.concatenate([valid, train])  # the validation split may be too small
    taken = {"valid": pool[: ROWS["valid"]], "train": pool[ROWS["valid"] :][: ROWS["train"]]}
    rows = np.concatenate([taken["train"], taken["valid"]])
    is_valid = np.arange(len(rows)) >= len(taken["train"])
    for kind in ("x", "y"):
        np.save(folder / f"{kind}_train.npy", np.load(source / f"{kind}_train.npy", mmap_mode="r")[np.sort(rows)])
        test = np.load(source / f"{kind}_test.npy", mmap_mode="r")
        np.save(folder / f"{kind}_test.npy", test[: ROWS["test"]])
    np.save(folder / "split.npy", is_valid[np.argsort(rows)])
    problem = Problem(
        "image-classification",
        input_from_proto(dataset.input),
        len(dataset.classes),
        len(taken["train"]),
        len(taken["valid"]),
        mirror_keeps_class=True,
        meta_features=dict(dataset.meta_features),
    )
    return Setting(name, folder, problem, choose("cpu", home / "cache"))


def configuration(number: int, problem: Problem) -> Configuration:
    """Number `number` of the table, as these data can have it."""
    count = WHOLE_INPUT[-1]
    given = replace(problem.input, shape=WHOLE_INPUT, mean=(0.0,) * count, std=(1.0,) * count)
    whole = designs_of(replace(problem, input=given, mirror_keeps_class=True))
    drawn = whole.parameters.sample(generator(SEED, number))
    designs = designs_of(problem)
    kept = {name: value for name, value in drawn.items() if _is_known(name, value, designs)}
    return designs.parameters.completed(kept, generator(SEED, number, 1))


def _is_known(name: str, value: object, designs: Designs) -> bool:
    return any(entry.name == name and value in entry.values for entry in designs.parameters)


def trained(setting: Setting, number: int) -> dict[str, Any]:
    """A line of the table."""
    torch.set_num_threads(1)
    designs = designs_of(setting.problem)
    chosen = configuration(number, setting.problem)
    graph, asked = designs.graph(chosen), designs.recipe(chosen)
    given = {name: getattr(asked, name) for name in ("learning_rate", "momentum", "weight_decay", "label_smoothing")}
    given |= {"batch_size": asked.batch_size, "shift": asked.shift or 0, "cutout": asked.cutout or 0}
    given |= {"mirror": bool(asked.mirror), "averaging": max(asked.averaging or 0.0, LEAST_AVERAGING)}
    recipe = Recipe(epochs=1.0, schedule=Schedule.CONSTANT, warmup=WARMUP, **given)
    arrays = load_data(setting.folder, "cpu")
    formats = (setting.choices.precision, setting.choices.memory_format)
    task = Task(graph, recipe, number, arrays, "cpu", *formats, keeps_checkpoint=True)
    begin, accuracies, losses, last = time.monotonic(), list[float](), list[float](), None
    for epoch in range(1, EPOCHS + 1):
        *_, last = run(replace(task, recipe=replace(recipe, epochs=float(epoch))), lambda: Order.CONTINUE)
        assert isinstance(last, Ended)
        if last.checkpoint is None:  # it has diverged
            break
        accuracies.append(round(last.metrics["valid_accuracy"], 4))
        losses.append(round(min(last.metrics["valid_loss"], 99.0), 4))
        task = replace(task, checkpoint=last.checkpoint)
    price, seconds = cost(graph), time.monotonic() - begin
    line = {"number": number, "labels": dict(designs.labels(chosen)), "params": price.params, "flops": price.flops}
    return line | {"accuracy": accuracies, "loss": losses, "seconds": round(seconds, 2)}


def lines(name: str) -> list[dict[str, Any]]:
    """Of one data set, as far as it is; a line that was cut off by an end is not there."""
    path = TABLE / f"{name}.jsonl"
    text = path.read_text() if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    return [json.loads(line) for line in whole.splitlines()]


def made(setting: Setting, numbers: list[int], workers: int) -> Iterator[dict[str, Any]]:
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(partial(trained, setting), numbers)


def summary(name: str, rows: list[Mapping[str, Any]]) -> str:
    ends = np.array([row["accuracy"][-1] if len(row["accuracy"]) == EPOCHS else 0.0 for row in rows])
    quartiles = ", ".join(f"{value:.3f}" for value in np.quantile(ends, (0.0, 0.25, 0.5, 0.75, 1.0)))
    hours = sum(row["seconds"] for row in rows) / 3600
    return f"{name}: {len(rows)} networks, last accuracies {quartiles} (quartiles), {hours:.2f} core hours"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="NAME=DATA, where DATA is what `neunets synthesize` takes")
    parser.add_argument("--networks", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=120.0, help="after which no other network begins")
    arguments = parser.parse_args()
    TABLE.mkdir(exist_ok=True)
    end = time.monotonic() + 60.0 * arguments.minutes
    with tempfile.TemporaryDirectory() as scratch:
        settings = [setting_of(*entry.split("=", 1), Path(scratch)) for entry in arguments.data]
        # In pieces by turns, so that a table that was cut short has all data sets.
        for first in range(0, arguments.networks, 20):
            for setting in settings:
                known = {line["number"] for line in lines(setting.name)}
                due = [n for n in range(first, min(first + 20, arguments.networks)) if n not in known]
                if not due or time.monotonic() > end:
                    continue
                with (TABLE / f"{setting.name}.jsonl").open("a") as file:
                    for line in made(setting, due, arguments.workers):
                        file.write(json.dumps(line) + "\n")
                        file.flush()
                print(summary(setting.name, lines(setting.name)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
