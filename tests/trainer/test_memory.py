"""Memory that runs out ends a training, not its process."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit on memory is not kept")

# By a signal: to the engine that is a lost worker, not a result of the network.
KILLED = "killed"


def train_within(channels: int, size: int, room_bytes: int) -> str:
    """Outcome and error of a training in a process that may grow by `room_bytes` alone, or `KILLED`."""
    program = """
        import resource, sys
        from pathlib import Path

        import torch

        from neunets.graph import DataType, Graph, Input, Node
        from neunets_trainer.data import Data, Split
        from neunets_trainer.recipe import Recipe
        from neunets_trainer.task import Order, Task
        from neunets_trainer.training import run

        torch.set_num_threads(1)

        def task(channels: int, size: int) -> Task:
            nodes = (
                Node("conv", "conv", ("image",), {"channels": channels, "kernel": 3}),
                Node("pool", "global_pool", ("conv",), {"function": "avg"}),
                Node("logits", "linear", ("pool",), {"units": 2}),
            )
            graph = Graph(Input("image", (size, size, 1), DataType.UINT8, (0.0,), (1.0,)), nodes, "logits")
            rows = Split(torch.zeros(64, size, size, 1, dtype=torch.uint8), torch.zeros(64, dtype=torch.int64))
            return Task(graph, Recipe(epochs=1.0, batch_size=64), 0, Data(Path(), "cpu", rows, rows))

        channels, size, room = map(int, sys.argv[1:])
        *_, warm = run(task(2, 4), lambda: Order.CONTINUE)  # loads what is loaded late
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + room
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        *_, last = run(task(channels, size), lambda: Order.CONTINUE)
        print(warm.outcome.name, last.outcome.name, last.error)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, (channels, size, room_bytes))]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    return KILLED if ended.returncode < 0 else ended.stdout + ended.stderr


def test_memory_that_runs_out_is_an_outcome() -> None:
    one_value = 64 * 256 * 128 * 128 * 4
    assert train_within(256, 128, one_value // 4).startswith("SUCCEEDED OUT_OF_MEMORY ")


def test_kernels_without_memory_are_no_failure_of_the_network() -> None:
    # Values fit, new kernels of oneDNN do not. It says so, or, where it has no room to say it, ends the process.
    answer = train_within(16, 8, 1 << 20)
    assert answer == KILLED or answer.startswith(("SUCCEEDED OUT_OF_MEMORY ", "SUCCEEDED SUCCEEDED "))
