"""A child begins where its trained parent ended, and is trained from there like any network."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neunets.errors import InvalidGraph
from neunets.graph import DataType, Graph, Input, Node
from neunets.morphisms import MORPHISMS, Deepen, InsertSkip, Morphism, Widen, WidenKernel, derive
from neunets_trainer.build import build
from neunets_trainer.checkpoint import Checkpoint
from neunets_trainer.data import Data, Split, load_data
from neunets_trainer.inheritance import ROWS, Inheritance, Inherited
from neunets_trainer.recipe import Recipe
from neunets_trainer.task import Outcome, Task, Weights
from sdk.morphism_strategies import accepted
from trainer.problems import Clock, assert_same_weights, interrupted, train, write_digits

PRESERVED = 1e-4
STEP_S = 6.0  # a checkpoint after each step
SHORT = 10  # steps
RECIPE = Recipe(steps=30, batch_size=64, learning_rate=0.05)
PARENT = Graph(
    Input("image", (8, 8, 1), DataType.UINT8, (4.9,), (6.0,)),
    (
        Node("stem", "conv", ("image",), {"channels": 8, "kernel": 3}),
        Node("norm1", "batch_norm", ("stem",)),
        Node("relu1", "activation", ("norm1",), {"function": "relu"}),
        Node("conv", "conv", ("relu1",), {"channels": 8, "kernel": 3, "bias": True}),
        Node("norm2", "batch_norm", ("conv",)),
        Node("sum", "add", ("relu1", "norm2")),
        Node("relu2", "activation", ("sum",), {"function": "relu"}),
        Node("pool", "max_pool", ("relu2",), {"kernel": 2}),
        Node("separable", "separable_conv", ("pool",), {"channels": 12, "kernel": 3}),
        Node("relu3", "activation", ("separable",), {"function": "relu"}),
        Node("drop", "dropout", ("relu3",), {"rate": 0.1}),
        Node("flat", "flatten", ("drop",)),
        Node("hidden", "linear", ("flat",), {"units": 16}),
        Node("relu4", "activation", ("hidden",), {"function": "relu"}),
        Node("logits", "linear", ("relu4",), {"units": 10}),
    ),
    "logits",
)
LINEAGE = (Widen("conv", 12, shares=0.5), Deepen("relu3", norm=True), WidenKernel("separable", 5), InsertSkip("relu2"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return load_data(write_digits(tmp_path_factory.mktemp("digits")), "cpu")


@dataclass(frozen=True)
class Trained:
    """What the parent's training has left."""

    data: Data = field(repr=False)  # hypothesis shows what a test was given
    weights: Weights = field(repr=False)

    def child(self, *lineage: Morphism) -> Task:
        inheritance = Inheritance(PARENT, self.weights, lineage)
        return Task(derive(PARENT, lineage), RECIPE, 1, self.data, inheritance=inheritance)


@pytest.fixture(scope="module")
def trained(digits: Data) -> Trained:
    _, ended = train(Task(PARENT, replace(RECIPE, steps=60), 0, digits))
    assert ended.metrics["valid_accuracy"] > 0.8
    assert ended.weights is not None
    return Trained(digits, ended.weights)


@torch.no_grad()
def logits(graph: Graph, weights: Weights, split: Split) -> torch.Tensor:
    """Of the first examples, those on which the trainer compares."""
    x, _ = split.take(torch.arange(ROWS))
    return build(graph, weights).eval()(x)


def inherited(task: Task) -> Inherited:
    assert task.inheritance is not None
    return task.inheritance.inherited(task.graph, task.data, task.device)


@pytest.mark.parametrize("kind", MORPHISMS)
@settings(max_examples=10)
@given(data=st.data())
def test_a_child_computes_what_its_trained_parent_does(trained: Trained, kind: str, data: st.DataObject) -> None:
    task = trained.child(data.draw(accepted(PARENT, (kind,))))
    found = inherited(task)
    assert 0.0 <= found.delta < PRESERVED
    before = logits(PARENT, trained.weights, trained.data.valid)
    after = logits(task.graph, found.weights, trained.data.valid)
    assert (after - before).abs().max() < PRESERVED * max(1.0, float(before.abs().max()))


@settings(max_examples=10)
@given(data=st.data())
def test_so_does_one_of_several_steps(trained: Trained, data: st.DataObject) -> None:
    lineage, graph = [], PARENT
    for _ in range(data.draw(st.integers(2, 4))):
        lineage.append(data.draw(accepted(graph)))
        graph = lineage[-1].apply(graph)
    assert inherited(trained.child(*lineage)).delta < PRESERVED


def test_what_noise_changes_is_measured_relative_to_the_logits(trained: Trained) -> None:
    task = trained.child(Widen("conv", 12, noise=0.5))
    found = inherited(task)
    before = logits(PARENT, trained.weights, trained.data.train)
    after = logits(task.graph, found.weights, trained.data.train)
    assert found.delta > 10 * PRESERVED
    assert found.delta == pytest.approx(float((after - before).abs().max() / before.abs().max().clamp(min=1.0)))


def test_a_child_goes_on_from_the_accuracy_of_its_parent(trained: Trained) -> None:
    task, nothing = trained.child(*LINEAGE), replace(RECIPE, steps=0)
    _, untrained = train(replace(task, recipe=nothing))
    _, parent = train(Task(PARENT, nothing, 0, trained.data, incumbent=trained.weights))
    assert untrained.metrics["valid_accuracy"] == parent.metrics["valid_accuracy"]
    _, ended = train(task)
    assert ended.outcome is Outcome.SUCCEEDED
    assert 0.0 <= ended.metrics["inherited_delta"] < PRESERVED
    assert ended.metrics["valid_loss"] < untrained.metrics["valid_loss"]


def test_a_network_of_its_own_has_inherited_nothing(digits: Data) -> None:
    _, ended = train(Task(PARENT, replace(RECIPE, steps=1), 0, digits))
    assert "inherited_delta" not in ended.metrics


@settings(max_examples=10)
@given(seed=st.integers(0, 2**48 - 1), after=st.lists(st.integers(1, SHORT), max_size=4))
def test_an_interrupted_child_ends_bit_for_bit_like_an_undisturbed_one(
    trained: Trained, seed: int, after: list[int]
) -> None:
    task = replace(trained.child(*LINEAGE), seed=seed, recipe=replace(RECIPE, steps=SHORT))
    _, expected = train(task, Clock(STEP_S))
    kept: Checkpoint | None = None
    for steps in after:
        kept, ended = interrupted(replace(task, checkpoint=kept), steps, STEP_S)
        if ended is not None:
            break
    else:
        _, ended = train(replace(task, checkpoint=kept), Clock(STEP_S))
    for name in ("valid_loss", "inherited_delta"):
        assert ended.metrics[name] == expected.metrics[name]
    assert_same_weights(ended.weights, expected.weights)


def test_the_parents_weights_are_left_alone(trained: Trained) -> None:
    before = {key: value.copy() for key, value in trained.weights.items()}
    train(trained.child(*LINEAGE))
    assert_same_weights(trained.weights, before)


@pytest.mark.parametrize(
    "other",
    [PARENT, derive(PARENT, LINEAGE[:-1]), derive(PARENT, (*LINEAGE[:-1], InsertSkip("relu1")))],
    ids=["the parent", "a step less", "another step"],
)
def test_a_lineage_that_leads_elsewhere_is_refused(trained: Trained, other: Graph) -> None:
    with pytest.raises(InvalidGraph) as caught:
        train(replace(trained.child(*LINEAGE), graph=other))
    assert caught.value.rule == "LINEAGE_DIFFERS"


def test_weights_of_another_parent_are_refused(trained: Trained) -> None:
    others = replace(trained, weights={**trained.weights, "stem.weight": np.zeros((4, 1, 3, 3), np.float32)})
    with pytest.raises(InvalidGraph, match=r"stem\.weight") as caught:
        train(others.child(*LINEAGE))
    assert caught.value.rule == "BAD_WEIGHTS"
