"""`worker.v1.Trainer`: leases, heartbeats, reports, results and artifacts of the workers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import grpc

from neunets.errors import InvalidRequest
from neunets.messages import fitting
from neunets.sentences import sentence
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.worker.v1 import worker_pb2, worker_pb2_grpc
from neunets_engine.artifacts import CHUNK_BYTES, Artifacts
from neunets_engine.leases import deadline_s
from neunets_engine.probes import MirrorProbes
from neunets_engine.scheduler import Scheduler
from neunets_engine.store import DEFAULT_METRIC, Store

__all__ = ["TrainerService"]

Context = grpc.aio.ServicerContext[Any, Any]
Request = worker_pb2.CompleteRequest
LONGEST_WAIT_S: Final = 30.0
# Of one lease.
MOST_JOBS: Final = 64
LARGEST_ARTIFACT: Final = 2 << 30
# Of a function that is kept, the difference that float32 makes, over the largest logit.
PRESERVED: Final = 1e-3
NOT_PRESERVED: Final = "NOT_PRESERVED"

STATES: Final = {
    Request.OUTCOME_SUCCEEDED: synthesizer_pb2.TrialEnded.STATE_SUCCEEDED,
    Request.OUTCOME_STOPPED: synthesizer_pb2.TrialEnded.STATE_STOPPED,
    Request.OUTCOME_OUT_OF_MEMORY: synthesizer_pb2.TrialEnded.STATE_INFEASIBLE,
    Request.OUTCOME_NOT_A_NUMBER: synthesizer_pb2.TrialEnded.STATE_INFEASIBLE,
    Request.OUTCOME_TIMED_OUT: synthesizer_pb2.TrialEnded.STATE_FAILED,
    Request.OUTCOME_FAILED: synthesizer_pb2.TrialEnded.STATE_FAILED,
}


class TrainerService(worker_pb2_grpc.TrainerServicer):
    def __init__(
        self,
        store: Store,
        scheduler: Scheduler,
        artifacts: Artifacts,
        datasets: Path,
        probes: MirrorProbes,
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._artifacts = artifacts
        self._datasets = datasets
        self._probes = probes

    async def Lease(self, request: worker_pb2.LeaseRequest, context: Context) -> worker_pb2.LeaseResponse:
        if not request.worker:
            raise InvalidRequest("worker", "a worker needs a name")
        wait_s = min(request.wait.ToMilliseconds() / 1000, LONGEST_WAIT_S)
        with self._scheduler.halting():
            trials = await self._scheduler.lease(
                request.worker,
                request.device,
                wait_s,
                request.device_bytes,
                self._probes.is_waiting,
                min(max(1, request.most), MOST_JOBS),
                request.flops,
                request.warning,
            )
        if trials:
            record = self._store.run(trials[0].run)  # all are of one run
            dataset = self._store.dataset(record.run.spec.dataset)
            # The worker gets the others when it asks again.
            jobs = [await self._job(trial, record, dataset) for trial in trials]
            job, *more = fitting(jobs, worker_pb2.Job.ByteSize)
            return worker_pb2.LeaseResponse(job=job, more=more)
        return worker_pb2.LeaseResponse(mirror_probe=self._probes.take(request.worker))

    async def Probed(self, request: worker_pb2.ProbedRequest, context: Context) -> worker_pb2.ProbedResponse:
        self._probes.answer(request)
        return worker_pb2.ProbedResponse()

    async def Heartbeat(self, request: worker_pb2.HeartbeatRequest, context: Context) -> worker_pb2.HeartbeatResponse:
        order = self._scheduler.heartbeat(request.worker, request.trial, request.attempt)
        return worker_pb2.HeartbeatResponse(order=order)

    async def Report(self, request: worker_pb2.ReportRequest, context: Context) -> worker_pb2.ReportResponse:
        run_id = self._scheduler.run_of(request.worker, request.trial, request.attempt)
        if run_id is None:
            return worker_pb2.ReportResponse(order=worker_pb2.ORDER_ABORT)
        measured = synthesizer_pb2.Measured(trial=request.trial, epoch=request.epoch, metrics=request.metrics)
        news = store_pb2.TrialRecord(device_s=request.device_s)
        if request.HasField("checkpoint"):
            news.checkpoint.CopyFrom(request.checkpoint)
        with self._scheduler.halting():
            await self._store.report(run_id, request.attempt, request.step, measured, news)
            await self._judge(run_id, measured)
        order = self._scheduler.reported(request.worker, request.trial, request.attempt)
        return worker_pb2.ReportResponse(order=order)

    async def _judge(self, run_id: str, measured: synthesizer_pb2.Measured) -> None:
        """Whether the search wants the trial to go on."""
        stops = self._scheduler.stops
        why = stops.broken(run_id, measured)
        if why and self._scheduler.finish(run_id, measured.trial):
            await self._store.log(run_id, "synthesizer", "info", sentence(f"{measured.trial} ends early: {why}"))
        if stops.is_watched(run_id, measured):
            self._scheduler.notify(run_id)

    async def Complete(self, request: worker_pb2.CompleteRequest, context: Context) -> worker_pb2.CompleteResponse:
        (order,) = await self._complete([request])
        return worker_pb2.CompleteResponse(order=order)

    async def CompleteMany(
        self, request: worker_pb2.CompleteManyRequest, context: Context
    ) -> worker_pb2.CompleteManyResponse:
        if len({each.worker for each in request.ended}) > 1:
            raise InvalidRequest("ended.worker", "a call ends the leases of one worker")
        return worker_pb2.CompleteManyResponse(orders=await self._complete(request.ended))

    async def _complete(self, requests: Sequence[worker_pb2.CompleteRequest]) -> list[worker_pb2.Order.ValueType]:
        """Of one worker."""
        ended, warnings = [], list[tuple[str, str]]()
        for request in requests:
            run_id = self._scheduler.run_of(request.worker, request.trial, request.attempt)
            if run_id is not None:
                ended.append(_ended(request, self._store.trial(run_id, request.trial)))
                if ended[-1].error.code == NOT_PRESERVED:
                    warnings.append((run_id, f"{request.trial}: {ended[-1].error.summary}"))
        with self._scheduler.halting():
            answers = await self._scheduler.complete(requests[0].worker, ended) if ended else []
            for run_id, text in warnings:
                await self._store.log(run_id, "synthesizer", "warning", text)
        kept = {(each.trial, each.attempt) for each, is_kept in zip(ended, answers, strict=True) if is_kept}
        return [
            worker_pb2.ORDER_CONTINUE if (request.trial, request.attempt) in kept else worker_pb2.ORDER_ABORT
            for request in requests
        ]

    async def PutArtifact(
        self, request_iterator: AsyncIterable[worker_pb2.PutArtifactRequest], context: Context
    ) -> worker_pb2.PutArtifactResponse:
        media_type, parts, size = "", [], 0
        async for part in request_iterator:
            media_type = media_type or part.media_type
            parts.append(part.data)
            size += len(part.data)
            if size > LARGEST_ARTIFACT:
                raise InvalidRequest("data", f"an artifact has at most {LARGEST_ARTIFACT} bytes")
        with self._scheduler.halting():
            ref = await asyncio.to_thread(self._artifacts.put, b"".join(parts), media_type)
        return worker_pb2.PutArtifactResponse(ref=ref)

    async def GetArtifact(
        self, request: worker_pb2.GetArtifactRequest, context: Context
    ) -> AsyncIterator[worker_pb2.GetArtifactResponse]:
        data = await asyncio.to_thread(self._artifacts.get, request.sha256, request.offset)
        for start in range(0, len(data), CHUNK_BYTES):
            yield worker_pb2.GetArtifactResponse(data=data[start : start + CHUNK_BYTES])

    async def _job(
        self, trial: store_pb2.TrialRecord, record: store_pb2.RunRecord, dataset: service_pb2.Dataset
    ) -> worker_pb2.Job:
        spec = record.run.spec
        job = worker_pb2.Job(
            run=trial.run,
            trial=trial.trial,
            attempt=trial.attempt,
            graph=trial.graph,
            recipe=trial.recipe,
            seed=_seed(spec.seed, self._first(trial).trial),
            dataset=worker_pb2.Dataset(
                folder=str(self._datasets / dataset.sha256), sha256=dataset.sha256, classes=dataset.classes
            ),
            final=trial.closes,
            threads=max(1, trial.threads),
            deadline_s=deadline_s(trial.recipe),
            accumulate=trial.accumulate,
            device_s_used=trial.device_s,
            trains_on_validation=bool(trial.final_of) and spec.train_on_validation,
            continues=trial.continues,
            metric=spec.metric or DEFAULT_METRIC,
            keeps_checkpoint=not trial.final_of and synthesizer_pb2.CAPABILITY_CONTINUATION in record.capabilities,
        )
        job.lease.FromMilliseconds(int(1000 * self._scheduler.patience.heartbeat_s))
        if trial.HasField("checkpoint") and await self._can_go_on(trial):
            job.checkpoint.CopyFrom(trial.checkpoint)
        if trial.HasField("incumbent"):
            job.incumbent.CopyFrom(trial.incumbent)
        if trial.lineage:
            parent = self._store.trial(trial.run, trial.parent)
            weights = parent.result.artifacts["weights"]
            job.inheritance.CopyFrom(worker_pb2.Inheritance(graph=parent.graph, weights=weights, lineage=trial.lineage))
        return job

    async def _can_go_on(self, trial: store_pb2.TrialRecord) -> bool:
        """Whether the trial's checkpoint is undamaged; without one it begins anew."""
        is_whole = await asyncio.to_thread(self._artifacts.is_whole, trial.checkpoint.sha256)
        if not is_whole:
            text = f"{trial.trial} begins anew: its checkpoint {trial.checkpoint.sha256[:12]} is damaged or missing"
            await self._store.log(trial.run, "engine", "warning", text)
        return is_whole

    def _first(self, trial: store_pb2.TrialRecord) -> store_pb2.TrialRecord:
        """The trial that it continues, or which that one continues, and so on: they are one training."""
        while trial.continued:
            trial = self._store.trial(trial.run, trial.continued)
        return trial


def _ended(request: worker_pb2.CompleteRequest, trial: store_pb2.TrialRecord) -> synthesizer_pb2.TrialEnded:
    """The result of an attempt; memory that ran out once is retried with half the batch at a time."""
    ended = synthesizer_pb2.TrialEnded(
        candidate=trial.candidate,
        trial=trial.trial,
        attempt=request.attempt,
        state=STATES.get(request.outcome, synthesizer_pb2.TrialEnded.STATE_FAILED),
        metrics=request.metrics,
        device_s=request.device_s,
        peak_bytes=request.peak_bytes,
        artifacts=request.artifacts,
        will_retry=request.outcome == Request.OUTCOME_OUT_OF_MEMORY and not trial.halvings,
    )
    if request.error or ended.state not in (STATES[Request.OUTCOME_SUCCEEDED], STATES[Request.OUTCOME_STOPPED]):
        ended.error.severity = synthesizer_pb2.Diagnostic.SEVERITY_ERROR
        ended.error.code = Request.Outcome.Name(request.outcome).removeprefix("OUTCOME_")
        ended.error.summary = sentence(request.error)
    elif trial.lineage and all(step.function_preserving for step in trial.lineage):
        delta = request.metrics.get("inherited_delta", 0.0)
        if not delta <= PRESERVED:  # also where it is no number
            text = f"its lineage claims to keep the function, but the logits have changed by {delta:.2g}"
            ended.error.severity = synthesizer_pb2.Diagnostic.SEVERITY_WARNING
            ended.error.code, ended.error.summary = NOT_PRESERVED, text
    return ended


def _seed(run_seed: int, trial: str) -> int:
    """A seed of its own for each trial, the same in each repetition of the run."""
    return int.from_bytes(hashlib.sha256(f"{run_seed}/{trial}".encode()).digest()[:6], "big")
