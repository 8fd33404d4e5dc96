"""Jobs become tasks, outcomes and orders have their messages."""

from __future__ import annotations

import numpy as np
import pytest

from neunets.errors import InvalidGraph, InvalidRequest
from neunets.graph.v1 import graph_pb2
from neunets.lineage import lineage_to_proto
from neunets.machine import Choices, MemoryFormat, Precision
from neunets.morphisms import Deepen, Widen
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_to_proto
from neunets.worker.v1 import worker_pb2
from neunets_trainer.checkpoint import Checkpoint
from neunets_trainer.data import Data
from neunets_trainer.inheritance import Inheritance
from neunets_trainer.recipe import recipe_from_proto
from neunets_trainer.task import Order, Outcome, Task
from neunets_trainer.wire import ORDERS, OUTCOMES, task_from_proto
from trainer.problems import network, plain_network

RECIPE = synthesizer_pb2.Recipe(
    device_s=9.0, schedule=synthesizer_pb2.SCHEDULE_ONE_CYCLE, learning_rate=0.1, momentum=0.9, weight_decay=0.0,
    label_smoothing=0.0, batch_size=8, warmup=0.1, shift=1, mirror=True, cutout=2, averaging=0.2, norm_momentum=0.1,
    test_mirror=True, class_weighting=0.5, cycles=2,
)  # fmt: skip

CHOICES = Choices(Precision.BFLOAT16, MemoryFormat.CHANNELS_LAST)


def a_job() -> worker_pb2.Job:
    graph = graph_to_proto(network())
    return worker_pb2.Job(
        graph=graph, recipe=RECIPE, seed=2**64 - 1, deadline_s=50.0, final=True, device_s_used=2.5,
        metric="valid_macro_f1", continues=True, trains_on_validation=True,
    )  # fmt: skip


def test_a_job_is_read_field_by_field(data: Data) -> None:
    checkpoint, incumbent = Checkpoint(3, 1.5, {}, {}), {"logits.bias": np.zeros(2, np.float32)}
    assert task_from_proto(a_job(), data, CHOICES, checkpoint, incumbent, None) == Task(
        network(),
        recipe_from_proto(RECIPE),
        2**64 - 1,
        data,
        precision=Precision.BFLOAT16,
        memory_format=MemoryFormat.CHANNELS_LAST,
        checkpoint=checkpoint,
        incumbent=incumbent,
        final=True,
        deadline_s=50.0,
        device_s_used=2.5,
        metric="valid_macro_f1",
        continues=True,
        trains_on_validation=True,
    )


def test_an_inheritance_is_read_with_its_weights(data: Data) -> None:
    job, lineage = a_job(), (Widen("conv", 9, shares=0.5), Deepen("relu"))
    job.inheritance.graph.CopyFrom(graph_to_proto(plain_network()))
    job.inheritance.lineage.extend(lineage_to_proto(lineage))
    weights = {"logits.bias": np.ones(2, np.float32)}
    task = task_from_proto(job, data, CHOICES, None, None, weights)
    assert task.inheritance == Inheritance(plain_network(), weights, lineage)


def test_an_unknown_morphism_is_refused(data: Data) -> None:
    job = a_job()
    job.inheritance.graph.CopyFrom(job.graph)
    job.inheritance.lineage.add(kind="narrow", node="conv")
    with pytest.raises(InvalidGraph, match="UNKNOWN_MORPHISM"):
        task_from_proto(job, data, CHOICES, None, None, {})


def test_a_job_without_a_metric_compares_by_accuracy(data: Data) -> None:
    job = a_job()
    job.ClearField("metric")
    assert task_from_proto(job, data, CHOICES, None, None, None).metric == "valid_accuracy"


@pytest.mark.parametrize(("asked", "parts"), [(0, 1), (1, 1), (4, 4)])
def test_a_batch_has_at_least_one_part(data: Data, asked: int, parts: int) -> None:
    job = a_job()
    job.accumulate = asked
    assert task_from_proto(job, data, CHOICES, None, None, None).accumulate == parts


def test_a_job_with_a_broken_recipe_is_refused(data: Data) -> None:
    job = a_job()
    job.recipe.ClearField("warmup")
    with pytest.raises(InvalidRequest, match=r"recipe\.warmup"):
        task_from_proto(job, data, CHOICES, None, None, None)


def test_a_job_with_a_broken_graph_is_refused(data: Data) -> None:
    job = a_job()
    job.graph.input.dtype = graph_pb2.DATA_TYPE_UNSPECIFIED
    with pytest.raises(InvalidGraph, match="BAD_INPUT"):
        task_from_proto(job, data, CHOICES, None, None, None)


def test_every_outcome_has_a_message_of_its_own() -> None:
    assert OUTCOMES.keys() == set(Outcome)
    sent = worker_pb2.CompleteRequest.Outcome.values()
    assert set(OUTCOMES.values()) == set(sent) - {worker_pb2.CompleteRequest.OUTCOME_UNSPECIFIED}


def test_every_message_of_an_order_is_known() -> None:
    assert set(ORDERS.values()) == set(Order)
    assert ORDERS.keys() == set(worker_pb2.Order.values()) - {worker_pb2.ORDER_UNSPECIFIED}
