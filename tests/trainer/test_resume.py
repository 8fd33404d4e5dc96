"""A training that is interrupted wherever and as often as may be ends bit for bit as if it never had been."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from neunets_trainer.checkpoint import Checkpoint
from neunets_trainer.data import Data
from neunets_trainer.recipe import Recipe
from neunets_trainer.task import Task
from trainer.problems import Clock, assert_same_weights, interrupted, network, train

STEPS = 24  # of four epochs
# At five seconds a checkpoint: after each step, or after some.
STEP_S = (6.0, 2.0, 1.3)

recipes = st.builds(
    Recipe,
    epochs=st.just(4.0),
    batch_size=st.just(16),
    learning_rate=st.sampled_from((0.02, 0.1)),
    momentum=st.sampled_from((0.0, 0.9)),
    shift=st.integers(0, 2),
    mirror=st.booleans(),
    cutout=st.sampled_from((0, 3)),
    averaging=st.sampled_from((0.0, 0.5)),
    test_mirror=st.booleans(),
)
stops = st.lists(st.integers(1, STEPS), max_size=10)


@settings(max_examples=25)
@given(recipe=recipes, seed=st.integers(0, 2**48 - 1), after=stops, step_s=st.sampled_from(STEP_S))
def test_interruptions_leave_no_trace(data: Data, recipe: Recipe, seed: int, after: list[int], step_s: float) -> None:
    task = Task(network(), recipe, seed, data)
    _, expected = train(task, Clock(step_s))
    kept: Checkpoint | None = None
    for steps in after:
        kept, ended = interrupted(replace(task, checkpoint=kept), steps, step_s)
        if ended is not None:
            break
    else:
        _, ended = train(replace(task, checkpoint=kept), Clock(step_s))
    assert ended.outcome is expected.outcome
    assert ended.metrics["valid_loss"] == expected.metrics["valid_loss"]
    assert_same_weights(ended.weights, expected.weights)


@settings(max_examples=10)
@given(recipe=recipes, parts=st.integers(2, 4), at=st.integers(1, STEPS - 1))
def test_a_training_that_goes_on_in_parts_of_its_batches_does_so_alike(
    data: Data, recipe: Recipe, parts: int, at: int
) -> None:
    """Memory that ran out is the engine's reason to go on with other parts than the training began with."""
    task = Task(network(), recipe, 1, data)
    kept, _ = interrupted(task, at, 6.0)
    halved = replace(task, checkpoint=kept, accumulate=parts)
    (_, one), (_, other) = train(halved, Clock(6.0)), train(halved, Clock(6.0))
    assert kept is not None
    assert one.metrics == other.metrics
    assert_same_weights(one.weights, other.weights)
