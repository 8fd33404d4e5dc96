"""What a network inherits learns at once: no weight that a morphism makes is cut off from the gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from neunets.cost import parameters
from neunets.graph import Graph, Node
from neunets.morphisms import Branch, BranchAndInsert, Deepen, InsertSkip, Morphism, Widen, WidenKernel, arguments_of
from neunets.reference import initialise
from neunets_trainer.build import Network, build, named_tensors
from trainer.problems import CLASSES, IMAGE

ROWS = 16
Weights = Mapping[str, NDArray[Any]]
GRAPH = Graph(
    IMAGE,
    (
        Node("stem", "conv", ("image",), {"channels": 6, "kernel": 3, "bias": True}),
        Node("relu1", "activation", ("stem",), {"function": "relu"}),
        Node("conv", "conv", ("relu1",), {"channels": 6, "kernel": 3}),
        Node("norm", "batch_norm", ("conv",)),
        Node("add", "add", ("relu1", "norm")),
        Node("relu2", "activation", ("add",), {"function": "relu"}),
        Node("pool", "max_pool", ("relu2",), {"kernel": 2}),
        Node("separable", "separable_conv", ("pool",), {"channels": 8, "kernel": 3, "bias": True}),
        Node("relu3", "activation", ("separable",), {"function": "relu"}),
        Node("flat", "flatten", ("relu3",)),
        Node("hidden", "linear", ("flat",), {"units": 10}),
        Node("relu4", "activation", ("hidden",), {"function": "relu"}),
        Node("logits", "linear", ("relu4",), {"units": CLASSES}),
    ),
    "logits",
)
WEIGHTS = initialise(GRAPH, np.random.default_rng(0))
X = np.random.default_rng(1).integers(0, 256, (ROWS, *IMAGE.shape), dtype=np.uint8)
Y = torch.arange(ROWS) % CLASSES

SKIPS = [
    InsertSkip("relu1"),
    InsertSkip("relu2", "depthwise_conv"),
    InsertSkip("relu3", "separable_conv"),
    InsertSkip("separable", function="none"),
    InsertSkip("relu4", "linear"),
]
CHANGES: list[Morphism] = [
    Widen("stem", 9),
    Widen("separable", 13),
    Widen("hidden", 15),
    Widen("conv", 9, noise=0.01),
    Widen("stem", 9, shares=0.5),
    Widen("separable", 13, shares=1.0),
    Deepen("relu1"),
    Deepen("relu1", norm=True),
    Deepen("relu2", "depthwise_conv", 5),
    Deepen("relu3", "separable_conv"),
    Deepen("conv", function="none"),
    Deepen("relu4", "linear"),
    WidenKernel("conv", 5),
    WidenKernel("separable", 4),
    Branch("stem"),
    Branch("conv", 2),
    Branch("separable"),
    BranchAndInsert("separable"),
    BranchAndInsert("stem", norm=True),
    BranchAndInsert("conv", function="none"),
]
EXACT = [change for change in [*CHANGES, *SKIPS] if not (isinstance(change, Widen) and change.noise)]


def named(change: Morphism) -> str:
    return f"{change.kind} {change.node} {' '.join(str(value) for value in arguments_of(change).values())}"


def inherited(change: Morphism, batch: NDArray[Any] | None = X) -> tuple[Graph, Weights]:
    return change.apply(GRAPH), change.weights(GRAPH, WEIGHTS, batch)


def backward(graph: Graph, weights: Weights) -> tuple[Network, Tensor, dict[str, NDArray[Any]]]:
    """A network in training, its logits, and the gradients of its loss."""
    network = build(graph, weights)
    logits = network(torch.from_numpy(X))
    F.cross_entropy(logits, Y).backward()
    return network, logits.detach(), gradients(network)


def gradients(network: Network) -> dict[str, NDArray[Any]]:
    trainable = {key for key, parameter in parameters(network.graph).items() if parameter.trainable}
    return {key: value.grad.numpy() for key, value in named_tensors(network) if key in trainable}


def new_layer(change: InsertSkip) -> str:
    """The new node that is the first of the branch."""
    old = {node.name for node in GRAPH.nodes}
    return next(node.name for node in change.apply(GRAPH).nodes if node.name not in old)


@pytest.mark.parametrize("change", CHANGES, ids=named)
def test_every_array_has_a_gradient_at_once(change: Morphism) -> None:
    _, _, found = backward(*inherited(change))
    for key, gradient in found.items():
        assert np.isfinite(gradient).all(), key
        assert np.abs(gradient).max() > 1e-6, key


@pytest.mark.parametrize("change", SKIPS, ids=named)
def test_of_a_new_skip_only_the_layer_waits_for_the_first_step(change: InsertSkip) -> None:
    network, _, found = backward(*inherited(change))
    waiting = {key for key, gradient in found.items() if not gradient.any()}
    assert waiting == {key for key in found if key.startswith(f"{new_layer(change)}.")}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= 0.01 * parameter.grad
    network.zero_grad()
    F.cross_entropy(network(torch.from_numpy(X)), Y).backward()
    assert all(np.abs(gradient).max() > 1e-9 for gradient in gradients(network).values())


@pytest.mark.parametrize("change", SKIPS, ids=named)
def test_a_new_skip_leaves_all_other_gradients_as_they_were(change: InsertSkip) -> None:
    _, _, before = backward(GRAPH, WEIGHTS)
    _, _, after = backward(*inherited(change))
    for key, gradient in before.items():
        np.testing.assert_allclose(after[key], gradient, rtol=1e-4, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("change", EXACT, ids=named)
def test_training_is_preserved_for_the_batch_that_was_measured(change: Morphism) -> None:
    _, before, _ = backward(GRAPH, WEIGHTS)
    _, after, _ = backward(*inherited(change))
    np.testing.assert_allclose(after.numpy(), before.numpy(), rtol=1e-4, atol=1e-4)


def test_without_a_batch_a_new_norm_normalises_in_training_only() -> None:
    graph, weights = inherited(Deepen("relu1", norm=True), batch=None)
    teacher, student = build(GRAPH, WEIGHTS), build(graph, weights)
    x = torch.from_numpy(X)
    assert (teacher(x) - student(x)).abs().max() > 1e-2
    teacher, student = build(GRAPH, WEIGHTS).eval(), build(graph, weights).eval()
    torch.testing.assert_close(student(x), teacher(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("node", ["conv", "separable"])
def test_every_tap_of_a_larger_kernel_has_a_gradient(node: str) -> None:
    _, _, found = backward(*inherited(WidenKernel(node, 5)))
    kernels = found[f"{node}.{'weight' if node == 'conv' else 'depthwise'}"]
    assert (np.abs(kernels).max(axis=(0, 1)) > 0.0).all()


def test_everything_off_the_diagonal_of_an_identity_has_a_gradient() -> None:
    _, _, found = backward(*inherited(Deepen("relu1")))
    assert (np.abs(found["conv2.weight"]).max(axis=(2, 3)) > 0.0).all()


def test_branches_share_the_gradient_of_what_was_split() -> None:
    _, _, before = backward(GRAPH, WEIGHTS)
    _, _, after = backward(*inherited(Branch("separable")))
    halves = [after[f"separable_{side}.pointwise"] for side in ("left", "right")]
    np.testing.assert_allclose(np.concatenate(halves), before["separable.pointwise"], rtol=1e-4, atol=1e-6)
    total = after["separable_left.depthwise"] + after["separable_right.depthwise"]
    np.testing.assert_allclose(total, before["separable.depthwise"], rtol=1e-4, atol=1e-6)


def copies(key: str, width: int) -> list[tuple[int, int]]:
    """(first, other) of all equal rows of a widened array."""
    wide = inherited(Widen(key.partition(".")[0], width))[1][key]
    old = len(WEIGHTS[key])
    return [(int(np.flatnonzero((wide[:old] == wide[new]).all(axis=1))[0]), new) for new in range(old, width)]


def test_copies_of_a_unit_have_the_same_gradient_without_noise() -> None:
    _, _, found = backward(*inherited(Widen("hidden", 20)))
    for first, other in copies("hidden.weight", 20):
        for gradient in (found["hidden.weight"], found["logits.weight"].T):
            np.testing.assert_allclose(gradient[other], gradient[first], rtol=1e-4, atol=1e-7)


def test_noise_tells_copies_of_a_unit_apart() -> None:
    _, _, found = backward(*inherited(Widen("hidden", 20, noise=0.01)))
    gradient = found["logits.weight"].T
    pairs = [(gradient[first], gradient[other]) for first, other in copies("hidden.weight", 20)]
    living = [(one, other) for one, other in pairs if one.any()]
    assert len(living) >= 5
    assert all(np.abs(other - one).max() > 1e-4 * np.abs(one).max() for one, other in living)


@pytest.mark.parametrize("shares", [0.1, 1.0])
def test_unequal_shares_tell_copies_of_a_unit_apart(shares: float) -> None:
    _, _, found = backward(*inherited(Widen("hidden", 20, shares=shares)))
    gradient = found["hidden.weight"]
    pairs = [(gradient[first], gradient[other]) for first, other in copies("hidden.weight", 20)]
    living = [(one, other) for one, other in pairs if one.any()]
    assert len(living) >= 5
    assert all(np.abs(other - one).max() > 1e-3 * np.abs(one).max() for one, other in living)


def test_copies_have_the_statistics_of_what_they_copy() -> None:
    teacher, _, _ = backward(GRAPH, WEIGHTS)
    student, _, _ = backward(*inherited(Widen("stem", 9)))
    means = [dict(named_tensors(network))["norm.running_mean"] for network in (teacher, student)]
    torch.testing.assert_close(means[1][:6], means[0], rtol=1e-4, atol=1e-5)
