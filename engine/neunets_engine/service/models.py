"""`service.v1.Models`: the trained networks of a run and their files."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import grpc

from neunets.errors import IllegalTransition, InvalidRequest, NotFound
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets.store.v1 import store_pb2
from neunets_engine.artifacts import CHUNK_BYTES, Artifacts
from neunets_engine.export import Format
from neunets_engine.service.names import model_name, run_id_of, trial_of
from neunets_engine.service.runs import page_bounds, page_token
from neunets_engine.store import Store
from neunets_engine.variants import FORMATS, Variants, variant_to_proto

__all__ = ["ModelsService"]

Context = grpc.aio.ServicerContext[Any, Any]
# Half a point, as the contract says.
MAX_ACCURACY_DROP: Final = 0.005


class ModelsService(service_pb2_grpc.ModelsServicer):
    def __init__(self, store: Store, artifacts: Artifacts, datasets: Path) -> None:
        self._store = store
        self._artifacts = artifacts
        self._variants = Variants(store, artifacts, datasets)

    async def List(self, request: service_pb2.ListModelsRequest, context: Context) -> service_pb2.ListModelsResponse:
        count, after = page_bounds(request.page_size, request.page_token)
        trials = [trial for trial in self._store.trials(run_id_of(request.parent)) if trial.trial > after]
        more = page_token(trials[count - 1].trial) if len(trials) > count else ""
        return service_pb2.ListModelsResponse(models=map(_model, trials[:count]), next_page_token=more)

    async def Get(self, request: service_pb2.GetModelRequest, context: Context) -> service_pb2.Model:
        return _model(self._store.trial(*trial_of(request.name)))

    async def Metrics(
        self, request: service_pb2.ModelMetricsRequest, context: Context
    ) -> service_pb2.ModelMetricsResponse:
        run_id, trial = trial_of(request.name)
        self._store.trial(run_id, trial)
        return service_pb2.ModelMetricsResponse(measured=self._store.metrics(run_id, trial))

    async def Export(
        self, request: service_pb2.ExportModelRequest, context: Context
    ) -> service_pb2.ExportModelResponse:
        trial = self._exported(request.name)
        formats, max_drop = _formats(request), _max_drop(request)
        variants = await self._variants.export(trial.run, trial.trial, formats, max_drop)
        model = _model(self._exported(request.name))
        return service_pb2.ExportModelResponse(model=model, variants=map(variant_to_proto, variants))

    async def Download(
        self, request: service_pb2.DownloadRequest, context: Context
    ) -> AsyncIterator[service_pb2.DownloadResponse]:
        trial = self._exported(request.name)
        refs = {artifact.file: artifact.ref for artifact in trial.artifacts}
        if request.file not in refs:
            raise NotFound(f"{request.name} has no file {request.file!r}: it has {', '.join(sorted(refs))}")
        if request.offset > refs[request.file].size:
            raise InvalidRequest("offset", f"{request.offset} lies beyond the file's {refs[request.file].size} bytes")
        data = await asyncio.to_thread(self._artifacts.get, refs[request.file].sha256, request.offset)
        for start in range(0, len(data), CHUNK_BYTES):
            yield service_pb2.DownloadResponse(data=data[start : start + CHUNK_BYTES])

    def _exported(self, name: str) -> store_pb2.TrialRecord:
        trial = self._store.trial(*trial_of(name))
        if not trial.artifacts:
            best = self._store.run(trial.run).run.model
            hint = f"the run's exported model is {best}" if best else "the run has not come to its export yet"
            raise IllegalTransition(f"{name} is not exported: {hint}", state="NOT_EXPORTED")
        return trial


def _formats(request: service_pb2.ExportModelRequest) -> Sequence[Format]:
    unknown = set(request.formats) - FORMATS.keys()
    if unknown:
        raise InvalidRequest("formats", f"{unknown.pop()} is no format: INT8 and FLOAT16 can be made")
    return [FORMATS[number] for number in request.formats]


def _max_drop(request: service_pb2.ExportModelRequest) -> float:
    max_drop = request.max_accuracy_drop if request.HasField("max_accuracy_drop") else MAX_ACCURACY_DROP
    if not (math.isfinite(max_drop) and 0.0 <= max_drop <= 1.0):
        raise InvalidRequest("max_accuracy_drop", f"{max_drop:g} is not in 0..1: half a point is 0.005")
    return max_drop


def _model(trial: store_pb2.TrialRecord) -> service_pb2.Model:
    model = service_pb2.Model(
        name=model_name(trial.run, trial.trial),
        trial=trial.trial,
        candidate=trial.candidate,
        state=trial.state,
        graph=trial.graph,
        recipe=trial.recipe,
        params=trial.params,
        flops=trial.flops,
        rationale=trial.rationale,
        final=bool(trial.final_of),
        artifacts=trial.artifacts,
        figures=trial.figures,
        variants=trial.variants,
    )
    if trial.HasField("result"):
        model.result.CopyFrom(trial.result)
    return model
