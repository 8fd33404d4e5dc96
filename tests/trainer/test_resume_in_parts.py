"""After memory has run out, half the batch at a time is really half of what is needed."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit on memory is not kept")

ROWS, CHANNELS, SIZE = 64, 64, 128
ONE_VALUE = ROWS * CHANNELS * SIZE * SIZE * 4


def outcomes_within(room_bytes: int) -> list[str]:
    """Of a training whose values take `ONE_VALUE`, at once and then in two parts, where only so much may be added."""
    program = """
        import resource, sys
        from pathlib import Path

        import torch

        from neunets.graph import DataType, Graph, Input, Node
        from neunets_trainer.data import Data, Split
        from neunets_trainer.memory import release
        from neunets_trainer.recipe import Recipe
        from neunets_trainer.task import Order, Task
        from neunets_trainer.training import run

        torch.set_num_threads(1)
        rows, channels, size, room = map(int, sys.argv[1:])

        def outcome(rows: int, channels: int, parts: int) -> str:
            nodes = (
                Node("conv", "conv", ("image",), {"channels": channels, "kernel": 3}),
                Node("pool", "global_pool", ("conv",), {"function": "avg"}),
                Node("logits", "linear", ("pool",), {"units": 2}),
            )
            graph = Graph(Input("image", (size, size, 1), DataType.UINT8, (0.0,), (1.0,)), nodes, "logits")
            x, y = torch.zeros(rows, size, size, 1, dtype=torch.uint8), torch.zeros(rows, dtype=torch.int64)
            data = Data(Path(), "cpu", Split(x, y), Split(x[:2], y[:2]))
            task = Task(graph, Recipe(epochs=2.0, batch_size=rows), 0, data, accumulate=parts)
            *_, last = run(task, lambda: Order.CONTINUE)
            return last.outcome.name

        outcome(rows // 8, channels, 2)  # loads what is loaded late
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + room
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        print(outcome(rows, channels, 1))
        release("cpu")
        print(outcome(rows, channels, 2))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, (ROWS, CHANNELS, SIZE, room_bytes))]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_what_does_not_fit_at_once_fits_in_two_parts() -> None:
    assert outcomes_within(ONE_VALUE * 8 // 5) == ["OUT_OF_MEMORY", "SUCCEEDED"]
