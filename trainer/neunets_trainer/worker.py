"""A worker on one slot: leases trials from the engine, trains them, reports. An engine that is gone ends it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Final, NoReturn

import grpc
import psutil
import torch
from safetensors.numpy import load, save

from neunets.continuation import CHECKPOINT
from neunets.errors import Damaged, NeunetsError, NotFound, NotReady
from neunets.machine import Choices
from neunets.status import rpc_error
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import input_from_proto
from neunets.worker.v1 import worker_pb2, worker_pb2_grpc
from neunets_trainer.checkpoint import decode_checkpoint, encode_checkpoint
from neunets_trainer.data import Data, load_data
from neunets_trainer.memory import Memory, free_bytes, release
from neunets_trainer.mirror_probe import probe_mirror
from neunets_trainer.task import Ended, Order, Outcome, Progress, Task
from neunets_trainer.training import run
from neunets_trainer.wire import ORDERS, OUTCOMES, task_from_proto

__all__ = ["Worker"]

LOG: Final = logging.getLogger(__name__)
CALL_DEADLINE_S: Final = 30.0
ARTIFACT_DEADLINE_S: Final = 300.0
LEASE_WAIT_S: Final = 10
REFUSED_WAIT_S: Final = 1.0
# Of one lease; the engine gives more than one job only where they are short.
MOST_JOBS: Final = 64
TELL_EVERY_S: Final = 0.02
CHUNK_BYTES: Final = 256 << 10
SAFETENSORS: Final = "application/x-safetensors"


class Worker:
    """One process, one device. `name` is the executor's."""

    def __init__(
        self, channel: grpc.Channel, name: str, device: str, choices: Choices, memory_bytes: int, warning: str = ""
    ) -> None:
        """`memory_bytes`: of this machine, for this slot; `warning`: what the user should know of the device."""
        self._engine = worker_pb2_grpc.TrainerStub(channel)
        self._name, self._device, self._choices = name, device, choices
        self._warning = warning
        self._memory, self._memory_bytes = Memory(memory_bytes), memory_bytes
        self._data: tuple[str, Data] | None = None

    def work(self) -> NoReturn:
        """Lease and train. Raises: grpc.RpcError when the engine is gone; SystemExit to begin anew in less memory."""
        request = worker_pb2.LeaseRequest(worker=self._name, device=self._device, most=MOST_JOBS)
        request.flops, request.warning = self._choices.flops, self._warning
        request.wait.FromSeconds(LEASE_WAIT_S)
        while True:
            request.device_bytes = free_bytes(self._device, self._memory_bytes)
            try:
                answer = self._engine.Lease(request, timeout=LEASE_WAIT_S + CALL_DEADLINE_S, wait_for_ready=True)
                if answer.HasField("job"):
                    self._train_all([answer.job, *answer.more])
                    self._retire_if_grown()
                elif answer.HasField("mirror_probe"):
                    self._probe(answer.mirror_probe)
            except grpc.RpcError as error:
                refusal = rpc_error(error)
                if not isinstance(refusal, NotReady):
                    raise
                # Its disk is full: it has paused the run, and keeps the trial as of its last checkpoint.
                LOG.warning("the engine cannot go on now: %s", refusal.message)
                time.sleep(REFUSED_WAIT_S)

    def _train_all(self, jobs: Sequence[worker_pb2.Job]) -> None:
        """What ends within a moment is told together."""
        ended: list[worker_pb2.CompleteRequest] = []
        since = time.monotonic()
        for job in jobs:
            ended += self.train(job)
            if ended and (job is jobs[-1] or time.monotonic() - since > TELL_EVERY_S):
                self._engine.CompleteMany(worker_pb2.CompleteManyRequest(ended=ended), timeout=CALL_DEADLINE_S)
                ended, since = [], time.monotonic()

    def train(self, job: worker_pb2.Job) -> Sequence[worker_pb2.CompleteRequest]:
        """One lease from its start to its end; how it ended, unless nobody wants to know."""
        LOG.info("%s attempt %d of %s", job.trial, job.attempt, job.run)
        torch.set_num_threads(max(1, job.threads))
        with _Lease(self._engine, self._name, job) as lease:
            is_short = False
            ended: list[worker_pb2.CompleteRequest] = []
            try:
                for event in run(self._task(job), lease.order):
                    if isinstance(event, Progress):
                        lease.obey(self._report(job, event))
                        continue
                    ended.append(self._completion(job, event))
                    is_short = event.outcome is Outcome.OUT_OF_MEMORY
            except NeunetsError as error:  # of the job itself: another worker would fail as well
                failed = worker_pb2.CompleteRequest.OUTCOME_FAILED
                ended = [
                    worker_pb2.CompleteRequest(
                        worker=self._name, trial=job.trial, attempt=job.attempt, outcome=failed, error=error.message
                    )
                ]
        if is_short:
            release(self._device)  # only now: until its iterator is done, the training holds what it had
        return ended

    def _probe(self, asked: worker_pb2.MirrorProbe) -> None:
        """Measure whether mirrored images keep their class, and say it."""
        torch.set_num_threads(max(1, asked.threads))
        request = worker_pb2.ProbedRequest(worker=self._name, sha256=asked.dataset.sha256)
        try:
            data = self._loaded(asked.dataset)
            found = probe_mirror(data, input_from_proto(asked.input), len(asked.dataset.classes), asked.seed)
            request.plain, request.mirrored, request.rows = found.plain, found.mirrored, found.rows
            request.keeps_class = found.keeps_class
            if not found.is_measured:
                request.error = "a probe could not be trained"
        except NeunetsError as error:
            request.error = error.message
        self._engine.Probed(request, timeout=CALL_DEADLINE_S)

    def _retire_if_grown(self) -> None:
        if self._memory.has_grown(self._device):
            LOG.warning("this process has grown to %d MB: a new one takes its place", self._memory.private_bytes >> 20)
            raise SystemExit(os.EX_TEMPFAIL)

    def _task(self, job: worker_pb2.Job) -> Task:
        data = self._loaded(job.dataset)
        checkpoint = decode_checkpoint(self._get(job.checkpoint)) if job.HasField("checkpoint") else None
        incumbent = load(self._get(job.incumbent)) if job.HasField("incumbent") else None
        parents = load(self._get(job.inheritance.weights)) if job.HasField("inheritance") else None
        return task_from_proto(job, data, self._choices, checkpoint, incumbent, parents)

    def _loaded(self, dataset: worker_pb2.Dataset) -> Data:
        """Kept for the next job."""
        if self._data is None or self._data[0] != dataset.sha256:
            self._data = (dataset.sha256, load_data(Path(dataset.folder), self._device))
        return self._data[1]

    def _report(self, job: worker_pb2.Job, progress: Progress) -> Order:
        request = worker_pb2.ReportRequest(
            worker=self._name,
            trial=job.trial,
            attempt=job.attempt,
            step=progress.step,
            epoch=progress.epoch,
            device_s=progress.device_s,
            metrics=progress.metrics,
        )
        if progress.checkpoint is not None:
            request.checkpoint.CopyFrom(self._put(encode_checkpoint(progress.checkpoint)))
        return ORDERS.get(self._engine.Report(request, timeout=CALL_DEADLINE_S).order, Order.CONTINUE)

    def _completion(self, job: worker_pb2.Job, ended: Ended) -> worker_pb2.CompleteRequest:
        """With its artifacts in the engine."""
        request = worker_pb2.CompleteRequest(
            worker=self._name,
            trial=job.trial,
            attempt=job.attempt,
            outcome=OUTCOMES[ended.outcome],
            metrics=ended.metrics,
            device_s=ended.device_s,
            peak_bytes=ended.peak_bytes,
            error=ended.error,
        )
        if ended.weights is not None:
            request.artifacts["weights"].CopyFrom(self._put(save(dict(ended.weights))))
        if ended.checkpoint is not None:
            request.artifacts[CHECKPOINT].CopyFrom(self._put(encode_checkpoint(ended.checkpoint)))
        if ended.probe is not None:
            x, probabilities = ended.probe
            request.artifacts["probe"].CopyFrom(self._put(save({"x": x, "probabilities": probabilities})))
        if ended.predictions is not None:
            probabilities, labels = ended.predictions
            request.artifacts["predictions"].CopyFrom(
                self._put(save({"probabilities": probabilities, "labels": labels}))
            )
        return request

    def _put(self, data: bytes) -> synthesizer_pb2.ArtifactRef:
        def chunks() -> Iterator[worker_pb2.PutArtifactRequest]:
            yield worker_pb2.PutArtifactRequest(media_type=SAFETENSORS)
            for start in range(0, len(data), CHUNK_BYTES):
                yield worker_pb2.PutArtifactRequest(data=data[start : start + CHUNK_BYTES])

        return self._engine.PutArtifact(chunks(), timeout=ARTIFACT_DEADLINE_S).ref

    def _get(self, ref: synthesizer_pb2.ArtifactRef) -> bytes:
        """Raises: NotFound, Damaged: the job cannot be done, here or elsewhere."""
        request = worker_pb2.GetArtifactRequest(sha256=ref.sha256)
        try:
            return b"".join(part.data for part in self._engine.GetArtifact(request, timeout=ARTIFACT_DEADLINE_S))
        except grpc.RpcError as error:
            refusal = rpc_error(error)
            if isinstance(refusal, NotFound | Damaged):
                raise refusal from error
            raise


class _Lease:
    """Heartbeats for the time of a `with`; remembers the engine's last order."""

    def __init__(self, engine: worker_pb2_grpc.TrainerStub, worker: str, job: worker_pb2.Job) -> None:
        self._engine = engine
        self._request = worker_pb2.HeartbeatRequest(worker=worker, trial=job.trial, attempt=job.attempt)
        self._every_s = job.lease.ToMilliseconds() / 3000
        self._order = Order.CONTINUE
        self._over = Event()
        self._thread = Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> _Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def order(self) -> Order:
        return self._order

    def obey(self, order: Order) -> None:
        self._order = order

    def _beat(self) -> None:
        process = psutil.Process()
        while not self._over.wait(self._every_s):
            self._request.resident_bytes = process.memory_info().rss
            try:
                answer = self._engine.Heartbeat(self._request, timeout=self._every_s)
            except grpc.RpcError as error:  # the lease lapses if this goes on; the next call of the training finds out
                LOG.warning("no heartbeat: %s", error)
                continue
            self.obey(ORDERS.get(answer.order, Order.CONTINUE))
