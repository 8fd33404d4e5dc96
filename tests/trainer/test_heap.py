"""Trainings write nothing beyond their memory, whatever vectors the processor has."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PROGRAM = """
    import sys
    from pathlib import Path

    import torch

    from neunets.graph import DataType, Graph, Input, Node
    from neunets_trainer.data import load_data
    from neunets_trainer.recipe import Recipe
    from neunets_trainer.task import Outcome, Task
    from trainer.problems import CLASSES, train, write_images

    torch.set_num_threads(1)
    data = load_data(write_images(Path(sys.argv[1])), "cpu")
    for op in ("conv", "separable_conv"):
        for channels in (1, 3, 6, 9):
            nodes = (
                Node("stem", "conv", ("image",), {"channels": channels, "kernel": 3}),
                Node("strided", op, ("stem",), {"channels": 12, "kernel": 1, "stride": 2}),
                Node("pool", "global_pool", ("strided",), {"function": "avg"}),
                Node("logits", "linear", ("pool",), {"units": CLASSES}),
            )
            graph = Graph(Input("image", (8, 8, 1), DataType.UINT8, (80.0,), (70.0,)), nodes, "logits")
            _, last = train(Task(graph, Recipe(steps=40, batch_size=12), 0, data))
            assert last.outcome is Outcome.SUCCEEDED, last.error
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's checks of the heap")
@pytest.mark.parametrize("vectors", ["AVX2", "ALL"])
def test_strided_convolutions_write_within_their_memory(vectors: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "ONEDNN_MAX_CPU_ISA": vectors,
        "LD_PRELOAD": "libc_malloc_debug.so.0",
        "MALLOC_CHECK_": "3",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
