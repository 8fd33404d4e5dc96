"""A network computes what its graph says, wherever its layers save memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neunets.graph import Graph, Node
from neunets.reference import initialise, run
from neunets_trainer.build import build
from trainer.problems import CLASSES, IMAGE


def graph(readers: int, before: str) -> Graph:
    """A ReLU whose input is read `readers` times, and is the output of `before`."""
    nodes = [
        Node("conv", "conv", ("image",), {"channels": 3, "kernel": 3}),
        Node("norm", "batch_norm", ("conv",)),
        Node("sum", "add", ("norm", "norm")),
        Node("pool", "max_pool", ("norm",), {"kernel": 1}),
        Node("same", "identity", ("norm",)),
        Node("relu", "activation", (before,), {"function": "relu"}),
        Node("end", "add", ("relu", before) if readers > 1 else ("relu", "conv")),
        Node("flat", "flatten", ("end",)),
        Node("logits", "linear", ("flat",), {"units": CLASSES}),
    ]
    return Graph(IMAGE, tuple(nodes), "logits")


@pytest.mark.parametrize("readers", [1, 2])
@pytest.mark.parametrize("before", ["conv", "norm", "sum", "pool", "same"])
def test_what_is_read_again_is_not_overwritten(readers: int, before: str) -> None:
    net = graph(readers, before)
    weights = initialise(net, np.random.default_rng(0))
    x = np.random.default_rng(1).integers(0, 256, (5, *IMAGE.shape), dtype=np.uint8)
    network = build(net, weights)
    network.eval()
    found = network(torch.from_numpy(x))
    np.testing.assert_allclose(found.detach().numpy(), run(net, weights, x), rtol=1e-4, atol=1e-4)
    found.sum().backward()  # complains of values that it needs and that were overwritten


def test_an_output_is_not_overwritten_after_it() -> None:
    nodes = (
        Node("flat", "flatten", ("image",)),
        Node("logits", "linear", ("flat",), {"units": CLASSES}),
        Node("unread", "activation", ("logits",), {"function": "relu"}),
    )
    net = Graph(IMAGE, nodes, "logits")
    weights = initialise(net, np.random.default_rng(0))
    logits = build(net, weights)(torch.full((2, *IMAGE.shape), 3, dtype=torch.uint8))
    assert (logits < 0).any()
