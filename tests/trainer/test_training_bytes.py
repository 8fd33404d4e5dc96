"""The memory that a training is said to need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from neunets.cost import training_bytes
from neunets.graph import DataType, Graph, Input, Node
from neunets.machine import TRAINING_ENVIRONMENT, Precision
from trainer.problems import network

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory is counted in other ways")


def test_it_grows_with_all_that_a_training_holds() -> None:
    graph = network()
    least = training_bytes(graph, 64, Precision.BFLOAT16)
    assert least < training_bytes(graph, 64, Precision.FLOAT32)
    assert least < training_bytes(graph, 128, Precision.BFLOAT16)
    assert least < training_bytes(graph, 64, Precision.BFLOAT16, averages=True)


def test_weights_gradients_and_momenta_are_in_it() -> None:
    nodes = (Node("flat", "flatten", ("image",)), Node("logits", "linear", ("flat",), {"units": 1 << 18}))
    given = Input("image", (16, 16, 1), DataType.UINT8, (0.0,), (1.0,))
    assert training_bytes(Graph(given, nodes, "logits"), 1, Precision.FLOAT32) > 3 * 4 * (16 * 16 + 1 << 18)


def measured() -> dict[str, float]:
    """Of some trainings, what is said over what is taken: each in a copy of a process that has trained before."""
    program = """
        import json, os, resource, sys
        from pathlib import Path

        import psutil
        import torch

        from neunets.cost import training_bytes
        from neunets.graph import DataType, Graph, Input, Node
        from neunets_trainer.data import Data, Split
        from neunets_trainer.precision import Precision
        from neunets_trainer.recipe import Recipe
        from neunets_trainer.task import Order, Outcome, Task
        from neunets_trainer.training import run

        torch.set_num_threads(1)

        def graph(op, widths, size):
            nodes, last = [], "image"
            for number, width in enumerate(widths):
                for kind, attributes in (
                    (op if number else "conv", {"channels": width, "kernel": 3}), ("batch_norm", {}),
                    ("activation", {"function": "silu"}), ("max_pool", {"kernel": 2}),
                ):
                    nodes.append(Node(f"{kind}{number}", kind, (last,), attributes))
                    last = nodes[-1].name
            nodes.append(Node("mean", "global_pool", (last,), {"function": "avg"}))
            nodes.append(Node("logits", "linear", ("mean",), {"units": 10}))
            given = Input("image", (size, size, 3), DataType.UINT8, (0.0,) * 3, (1.0,) * 3)
            return Graph(given, tuple(nodes), "logits")

        def train(graph, batch, precision):
            x = torch.zeros(3 * batch, *graph.input.shape, dtype=torch.uint8)
            rows = Split(x, torch.zeros(len(x), dtype=torch.int64))
            data, recipe = Data(Path(), "cpu", rows, rows), Recipe(epochs=1.0, batch_size=batch)
            *_, last = run(Task(graph, recipe, 0, data, precision=precision), lambda: Order.CONTINUE)
            assert last.outcome is Outcome.SUCCEEDED, last

        train(graph("conv", (4, 4), 8), 8, Precision.BFLOAT16)
        for op, widths, size, batch in (("conv", (32, 64), 32, 64), ("separable_conv", (24, 48), 48, 256)):
            for precision in (Precision.FLOAT32, Precision.BFLOAT16):
                if os.fork():
                    os.wait()
                    continue
                before = psutil.Process().memory_info().rss
                train(graph(op, widths, size), batch, precision)
                taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
                said = training_bytes(graph(op, widths, size), batch, precision)
                print(json.dumps({f"{op} {batch} {precision.value}": said / taken}), flush=True)
                os._exit(0)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    environment = {**os.environ, **TRAINING_ENVIRONMENT}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return {key: ratio for line in done.stdout.splitlines() for key, ratio in json.loads(line).items()}


def test_it_is_what_a_training_takes_within_a_factor_of_two() -> None:
    ratios = measured()
    assert len(ratios) == 4
    assert all(0.5 < ratio < 2.0 for ratio in ratios.values()), ratios
