"""Jobs and results as messages."""

from __future__ import annotations

from typing import Final

from neunets.lineage import lineage_from_proto
from neunets.machine import Choices
from neunets.wire import graph_from_proto
from neunets.worker.v1 import worker_pb2
from neunets_trainer.checkpoint import Checkpoint
from neunets_trainer.data import Data
from neunets_trainer.inheritance import Inheritance
from neunets_trainer.recipe import recipe_from_proto
from neunets_trainer.task import Order, Outcome, Task, Weights

__all__ = ["ORDERS", "OUTCOMES", "task_from_proto"]

Request = worker_pb2.CompleteRequest

OUTCOMES: Final = {
    Outcome.SUCCEEDED: Request.OUTCOME_SUCCEEDED,
    Outcome.STOPPED: Request.OUTCOME_STOPPED,
    Outcome.OUT_OF_MEMORY: Request.OUTCOME_OUT_OF_MEMORY,
    Outcome.NOT_A_NUMBER: Request.OUTCOME_NOT_A_NUMBER,
    Outcome.TIMED_OUT: Request.OUTCOME_TIMED_OUT,
    Outcome.FAILED: Request.OUTCOME_FAILED,
}
ORDERS: Final = {
    worker_pb2.ORDER_CONTINUE: Order.CONTINUE,
    worker_pb2.ORDER_FINISH: Order.FINISH,
    worker_pb2.ORDER_ABORT: Order.ABORT,
}


def task_from_proto(
    job: worker_pb2.Job,
    data: Data,
    choices: Choices,
    checkpoint: Checkpoint | None,
    incumbent: Weights | None,
    parents: Weights | None,
) -> Task:
    """`parents`: the weights of its inheritance. Raises: InvalidGraph, InvalidRequest."""
    return Task(
        graph=graph_from_proto(job.graph),
        recipe=recipe_from_proto(job.recipe),
        seed=job.seed,
        data=data,
        device=data.device,
        precision=choices.precision,
        memory_format=choices.memory_format,
        checkpoint=checkpoint,
        incumbent=incumbent,
        final=job.final,
        deadline_s=job.deadline_s,
        accumulate=max(1, job.accumulate),
        device_s_used=job.device_s_used,
        metric=job.metric or "valid_accuracy",
        continues=job.continues,
        trains_on_validation=job.trains_on_validation,
        inheritance=None if parents is None else _inheritance(job.inheritance, parents),
        keeps_checkpoint=job.keeps_checkpoint,
    )


def _inheritance(message: worker_pb2.Inheritance, weights: Weights) -> Inheritance:
    return Inheritance(graph_from_proto(message.graph), weights, lineage_from_proto(message.lineage))
