"""A table of trained networks: the same configurations on several data sets, each with its whole learning curve.

Configuration k is drawn from chains with and without skips, and but for each third one from the hyper-parameters beside
them, by the seed and k alone; on another data set it is the same, as far as that one's input allows. Each is trained at
a constant rate with averaged weights, so that the curve up to any epoch is what a training to that epoch gives, and
validated after each epoch. Data sets are cut to a thousand rows to train and images of 16 x 16, and networks to few
operations, so that hundreds come to an end within two hours of two cores.

Every network is kept as soon as it is trained, in `table/NAME.jsonl`; a program that was ended goes on where it was.
What all data sets have is packed into the table that `neunets.simulation` answers from. Prints how far each data set
is, how its networks differ, and how early they tell how good they become.
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
from neunets.hyperparameters import HYPERPARAMETERS
from neunets.machine import Choices
from neunets.simulation import RECORDED_SPACES, SHIPPED, features, write_table
from neunets.spaces import Configuration, Designs
from neunets.synthesizer import Problem
from neunets.wire import input_from_proto
from neunets_client.client import Client
from neunets_client.connection import Connection
from neunets_trainer.choices import choose
from neunets_trainer.data import load_data
from neunets_trainer.recipe import Recipe
from neunets_trainer.schedule import Schedule
from neunets_trainer.task import Ended, Order, Outcome, Task
from neunets_trainer.training import run

TABLE: Final = Path(__file__).parent / "table"
ROWS: Final = {"train": 1000, "valid": 1000, "test": 1000}
# Larger images are made so small.
EXTENT: Final = 16
EPOCHS: Final = 27
MAX_FLOPS: Final = 400_000
# Of each so many configurations, one is trained as the engine would by itself.
USUAL_EACH: Final = 3
CHOSEN: Final = {"learning_rate": 0.3, "batch_size": 64}
USUAL: Final = {name: entry.usual for name, entry in HYPERPARAMETERS.items()} | CHOSEN
# Each configuration is drawn for an input that has all parameters of the spaces.
WHOLE_INPUT: Final = (EXTENT, EXTENT, 3)
SEED: Final = 0
WARMUP: Final = 0.2
EARLY: Final = (1, 2, 3, 5, 9, 15)
LEAST_AVERAGING: Final = 0.1


@dataclass(frozen=True, slots=True)
class Setting:
    """Of one data set: where its rows are, and what may be trained on them."""

    name: str
    folder: Path
    problem: Problem
    choices: Choices


def designs_of(problem: Problem) -> Designs:
    return Designs.of(problem, RECORDED_SPACES, ("constant",), MAX_FLOPS)


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
    valid_rows = min(ROWS["valid"], len(pool) // 3)
    taken = {"valid": pool[:valid_rows], "train": pool[valid_rows:][: ROWS["train"]]}
    rows = np.concatenate([taken["train"], taken["valid"]])
    is_valid = np.arange(len(rows)) >= len(taken["train"])
    for kind in ("x", "y"):
        kept = np.load(source / f"{kind}_train.npy", mmap_mode="r")[np.sort(rows)]
        test = np.load(source / f"{kind}_test.npy", mmap_mode="r")[: ROWS["test"]]
        np.save(folder / f"{kind}_train.npy", smaller(kept) if kind == "x" else kept)
        np.save(folder / f"{kind}_test.npy", smaller(test) if kind == "x" else test)
    is_valid = is_valid[np.argsort(rows)]
    np.save(folder / "split.npy", is_valid)
    labels = np.load(folder / "y_train.npy")[~is_valid]
    images = np.load(folder / "x_train.npy")[~is_valid].astype(np.float64)
    moments = {"mean": tuple(images.mean(axis=(0, 1, 2)).tolist()), "std": tuple(images.std(axis=(0, 1, 2)).tolist())}
    problem = Problem(
        "image-classification",
        replace(input_from_proto(dataset.input), shape=images.shape[1:], **moments),
        len(dataset.classes),
        len(taken["train"]),
        len(taken["valid"]),
        max_flops=MAX_FLOPS,
        mirror_keeps_class=True,
        class_rows=tuple(np.bincount(labels, minlength=len(dataset.classes)).tolist()),
        meta_features=dict(dataset.meta_features),
    )
    return Setting(name, folder, problem, choose("cpu", home / "cache"))


def smaller(images: Any) -> Any:
    """(N, H, W, C) bytes, of means over areas where they are larger than the table's."""
    if max(images.shape[1:3]) <= EXTENT:
        return images
    planes = torch.from_numpy(np.array(images)).movedim(-1, 1).float()
    made = torch.nn.functional.interpolate(planes, (EXTENT, EXTENT), mode="area")
    return made.round().to(torch.uint8).movedim(1, -1).numpy()


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


def is_usual(number: int) -> bool:
    """Whether configuration `number` is trained as the engine would by itself."""
    return number % USUAL_EACH == 0


def recipe_of(chosen: Configuration, designs: Designs, usual: bool = False) -> dict[str, Any]:
    """All its values; `usual`: those of the engine."""
    values = USUAL | ({} if usual else designs.recipe(chosen).hyperparameters())
    return values | {"averaging": max(values["averaging"], LEAST_AVERAGING), "warmup": WARMUP}


def trained(setting: Setting, number: int) -> dict[str, Any]:
    """A line of the table."""
    torch.set_num_threads(1)
    designs = designs_of(setting.problem)
    chosen = configuration(number, setting.problem)
    graph, values = designs.graph(chosen), recipe_of(chosen, designs, is_usual(number))
    recipe = Recipe(epochs=1.0, schedule=Schedule.CONSTANT, **values)
    arrays = load_data(setting.folder, "cpu")
    formats = (setting.choices.precision, setting.choices.memory_format)
    task = Task(graph, recipe, number, arrays, "cpu", *formats, keeps_checkpoint=True)
    begin, accuracies, losses = time.monotonic(), list[float](), list[float]()
    for epoch in range(1, EPOCHS + 1):
        *_, last = run(replace(task, recipe=replace(recipe, epochs=float(epoch))), lambda: Order.CONTINUE)
        assert isinstance(last, Ended)
        if last.outcome is Outcome.NOT_A_NUMBER:
            break
        assert last.checkpoint is not None, last.error
        accuracies.append(round(last.metrics["valid_accuracy"], 4))
        losses.append(round(min(last.metrics["valid_loss"], 60.0), 3))
        task = replace(task, checkpoint=last.checkpoint)
    price, seconds = cost(graph), time.monotonic() - begin
    line = {"number": number, "labels": dict(designs.labels(chosen)), "params": price.params, "flops": price.flops}
    return line | {"accuracy": accuracies, "loss": losses, "seconds": round(seconds, 2)}


def pack(settings: list[Setting]) -> int:
    """What all data sets have, into the table that is shipped: how many configurations."""
    found = {setting.name: {line["number"]: line for line in lines(setting.name)} for setting in settings}
    numbers = sorted(set.intersection(*(set(rows) for rows in found.values())))
    columns = list[tuple[Any, Any, Any]]()
    for setting in settings:
        designs, rows = designs_of(setting.problem), [found[setting.name][number] for number in numbers]
        chosen = {number: configuration(number, setting.problem) for number in numbers}
        given = [
            features(designs.graph(each), recipe_of(each, designs, is_usual(number))) for number, each in chosen.items()
        ]
        columns.append((np.array(given), *(filled([row[key] for row in rows]) for key in ("accuracy", "loss"))))
    if numbers:
        problems = {setting.name: setting.problem for setting in settings}
        write_table(SHIPPED, problems, columns, CHOSEN, list(map(is_usual, numbers)))
    return len(numbers)


def filled(curves: list[list[float]]) -> Any:
    """(N, EPOCHS), not a number where a curve has ended."""
    return np.array([curve + [np.nan] * (EPOCHS - len(curve)) for curve in curves])


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


def agreement(name: str, rows: list[Mapping[str, Any]]) -> str:
    """How early trainings tell their ends: rank correlation, and who of the best twentieth is in the upper third."""
    values = np.nan_to_num(filled([row["accuracy"] for row in rows]))
    ends, told = values[:, -1], list[str]()
    best, third = set(np.argsort(-ends)[: len(ends) // 20]), len(ends) // 3
    for epoch in EARLY:
        early = values[:, epoch - 1]
        ranks = np.corrcoef([each.argsort().argsort() for each in (early, ends)])[0, 1]
        kept = len(best & set(np.argsort(-early)[:third])) / len(best)
        told.append(f"{epoch}: {ranks:.2f}, {kept:.0%}")
    return f"{name}, after epochs, rank correlation, best twentieth in upper third: {'; '.join(told)}"


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
        print(f"packed: {pack(settings)} configurations")
        for setting in settings:
            print(agreement(setting.name, lines(setting.name)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
