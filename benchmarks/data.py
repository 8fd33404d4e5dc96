"""Reading and training on data that are larger than memory.

Reading: a folder of images of mixed sizes and modes is registered; images decoded a second on all cores, against one
process that decodes a sample with Pillow alone, and the peak memory of all processes, against that for a quarter of the
images. Training: a data set that is mapped from its file, three times as large as the memory that the process may have,
is trained on for one epoch; its peak memory against that for a quarter of the data is the result.

The peak is the largest sum of private memory (RssAnon) that a thread sees every 20 ms: what the system caches of files
can be taken away at any time and counts for nobody.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import numpy as np
import psutil
import report
from PIL import Image

from neunets_engine.datasets import Request, register

SEED: Final = 0
MODES: Final = ("RGB", "L", "RGBA", "P")
SIDES: Final = (24, 97)  # pixels, at least and below
SAMPLE: Final = 2000
LOOK_EVERY_S: Final = 0.02
# Where the memory of a group of processes can be limited, without and with the unified hierarchy.
CGROUP_1, CGROUP_2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
# A third of the data, and what torch and its kernels need in any case.
LIMIT_BYTES: Final = 600_000_000
MOMENTS: Final = 10
LARGE_SIDE: Final = 96
# The peak for all images may be so much above that for a quarter of them.
FLAT: Final = 1.25


def make_folder(path: Path, images: int) -> Path:
    """Ten classes; each file a smooth random picture, PNG or JPEG, of a size and a mode of its own."""
    rng = np.random.default_rng(SEED)
    for name in range(10):
        (path / str(name)).mkdir(parents=True)
    for number in range(images):
        width, height = (int(side) for side in rng.integers(*SIDES, 2))
        coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)
        mode = MODES[number % len(MODES)]
        suffix = "jpg" if mode in ("RGB", "L") and number % 8 < 4 else "png"
        image.convert(mode).save(path / str(number % 10) / f"{number:06d}.{suffix}")
    return path


def naive(folder: Path, side: int) -> float:
    """Images a second of one process and nothing but Pillow, on a sample."""
    files = sorted(file for file in folder.rglob("*.*"))[:: max(1, len(list(folder.rglob("*.*"))) // SAMPLE)]
    begin = time.monotonic()
    for file in files:
        with Image.open(file) as image:
            np.asarray(image.convert("RGB").resize((side, side)))
    return len(files) / (time.monotonic() - begin)


def reading(images: int, scratch: Path) -> dict[str, Any]:
    folder = make_folder(scratch / f"images{images}", images)
    peak: list[int] = []
    before = naive(folder, sum(SIDES) // 2)  # again after it, since other work on the machine comes and goes
    with watched(peak):
        begin = time.monotonic()
        dataset = register(Request(str(folder), seed=SEED), scratch / "datasets")
        wall_s = time.monotonic() - begin
    side = dataset.input.shape[0]
    row = {
        "images": images,
        "shape": list(dataset.input.shape),
        "wall_s": round(wall_s, 2),
        "images_per_s": round(images / wall_s, 1),
        "naive_images_per_s": round(max(before, naive(folder, side)), 1),
        "stored_bytes": dataset.bytes,
        "peak_private_bytes": peak[0],
    }
    row["ratio"] = round(row["images_per_s"] / row["naive_images_per_s"], 2)
    print(f"{images:,} images: {row['images_per_s']:.0f} a second, {row['ratio']:.2f} times one process", flush=True)
    print(f"{images:,} images: peak of {peak[0] / 1e6:.0f} MB for {dataset.bytes / 1e6:.0f} MB", flush=True)
    return row


@contextmanager
def watched(peak: list[int]) -> Iterator[None]:
    """Leaves the largest sum of the private memory of this process and its children in `peak`."""
    over, largest = Event(), [0]

    def look() -> None:
        while not over.wait(LOOK_EVERY_S):
            try:
                processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
                largest[0] = max(largest[0], sum(private_bytes(process.pid) for process in processes))
            except (psutil.Error, OSError):  # one of them has just ended
                continue

    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        peak.append(largest[0])


def private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))


def make_large(folder: Path, size: int) -> Path:
    """A registered data set of `size` bytes: noise, and a bright half that tells the class."""
    rng = np.random.default_rng(SEED)
    side, rows = LARGE_SIDE, size // (LARGE_SIDE * LARGE_SIDE * 3)
    folder.mkdir(parents=True)
    x = np.lib.format.open_memmap(folder / "x_train.npy", "w+", np.uint8, (rows, side, side, 3))
    y = rng.integers(0, 2, rows)
    for begin in range(0, rows, 1000):
        part = rng.integers(0, 156, (min(1000, rows - begin), side, side, 3), dtype=np.uint8)
        part[y[begin : begin + 1000] == 1, : side // 2] += 100
        x[begin : begin + len(part)] = part
    x.flush()
    del x
    arrays = {"y_train": y, "split": np.arange(rows) % 10 == 0, "x_test": np.zeros((1, side, side, 3), np.uint8)}
    for name, array in (arrays | {"y_test": np.zeros(1, np.int64)}).items():
        np.save(folder / f"{name}.npy", array)
    return folder


def training(folder: Path, limit: int) -> dict[str, Any]:
    """What the limited process said."""
    with group_of(limit) as group:
        command = [sys.executable, __file__, "--train", str(folder), "--limit", str(limit), "--group", str(group or "")]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    peak = f"peak of {row['peak_private_bytes'] / 1e6:.0f} MB"
    print(f"{row['data_bytes'] / 1e9:.2f} GB under a limit of {limit / 1e9:.2f} GB by {row['limited_by']}: {peak}")
    print(f"accuracy {row['valid_accuracy']:.4f} after {row['wall_s']:.0f} s", flush=True)
    return row


@contextmanager
def group_of(limit: int) -> Iterator[Path | None]:
    """A control group with a limit on memory, which counts the cached file, too; None where none can be made."""
    for root, key in ((CGROUP_1, "memory.limit_in_bytes"), (CGROUP_2, "memory.max")):
        group = root / f"neunets-benchmark-{os.getpid()}"
        try:
            group.mkdir()
            (group / key).write_text(str(limit))
        except OSError:
            if group.is_dir():
                group.rmdir()
            continue
        try:
            yield group
        finally:
            group.rmdir()
        return
    yield None


def limit_memory(limit: int, group: str) -> str:
    """Of this process; says by what."""
    if group:
        (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
        return "a control group, which counts the cached file"
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return "RLIMIT_DATA, which does not count mapped files"


def train_limited(folder: Path, limit: int, group: str) -> None:
    """One epoch, in the memory that is left; prints a JSON object."""
    import torch

    from neunets.graph import DataType, Graph, Input, Node
    from neunets_trainer.data import load_data
    from neunets_trainer.recipe import Recipe
    from neunets_trainer.task import Ended, Order, Progress, Task
    from neunets_trainer.training import run

    limited_by = limit_memory(limit, group)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    data = load_data(folder, "cpu")
    given = Input("image", tuple(data.train.stored.shape[1:]), DataType.UINT8, (100.0,) * 3, (60.0,) * 3)
    nodes = (
        Node("conv", "conv", ("image",), {"channels": 8, "kernel": 3, "stride": 4, "bias": True}),
        Node("relu", "activation", ("conv",), {"function": "relu"}),
        Node("flat", "flatten", ("relu",)),
        Node("logits", "linear", ("flat",), {"units": 2}),
    )
    task = Task(Graph(given, nodes, "logits"), Recipe(epochs=1.0, batch_size=128, learning_rate=0.01), SEED, data)
    begin, seen = time.monotonic(), []
    last: Ended | None = None
    for event in run(task, lambda: Order.CONTINUE):
        seen.append(private_bytes(os.getpid()))
        last = event if not isinstance(event, Progress) else last
    assert last is not None
    size = (folder / "x_train.npy").stat().st_size
    result = {
        "data_bytes": size,
        "limit_bytes": limit,
        "limited_by": limited_by,
        "outcome": last.outcome.value,
        "valid_accuracy": last.metrics.get("valid_accuracy"),
        "private_bytes": seen[:: max(1, len(seen) // MOMENTS)],
        "peak_private_bytes": max(seen),
        "wall_s": round(time.monotonic() - begin, 1),
    }
    print(json.dumps(result))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=40_000)
    parser.add_argument("--limit", type=int, default=LIMIT_BYTES, help="bytes of memory for the training")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--group", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train is not None:
        train_limited(arguments.train, arguments.limit, arguments.group)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        few, many = (reading(images, Path(scratch)) for images in (arguments.images // 4, arguments.images))
        small, large = (
            training(make_large(Path(scratch) / f"large{size}", size), arguments.limit)
            for size in (3 * arguments.limit // 4, 3 * arguments.limit)
        )
    result = {"reading": [few, many], "reading_memory_ratio": _growth(few, many)}
    result |= {"training": [small, large], "training_memory_ratio": _growth(small, large)}
    print(f"memory for four times the images: {result['reading_memory_ratio']:.2f} times in reading", end=", ")
    print(f"{result['training_memory_ratio']:.2f} times in training")
    print(report.write("data", [SEED], result))
    is_flat = max(_growth(few, many), _growth(small, large)) <= FLAT
    return 0 if is_flat and large["outcome"] == "succeeded" and many["ratio"] > 1.0 else 1


def _growth(small: dict[str, Any], large: dict[str, Any]) -> float:
    return round(large["peak_private_bytes"] / small["peak_private_bytes"], 3)


if __name__ == "__main__":
    sys.exit(main())
