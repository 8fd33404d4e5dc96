"""`service.v1.Models`: the trained networks of a run and their files."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import grpc

from neunets.errors import IllegalTransition, InvalidRequest, NotFound
from neunets.messages import MESSAGE_BYTES, RECEIVE_BYTES, fitting
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.artifacts import CHUNK_BYTES, Artifacts
from neunets_engine.export import Format
from neunets_engine.picks import Picks
from neunets_engine.service.compare import compare
from neunets_engine.service.lists import HEARTBEAT_S, Page, one_of, parse_filter
from neunets_engine.service.names import model_name, run_id_of, trial_of
from neunets_engine.store import DEFAULT_METRIC, Store
from neunets_engine.variants import FORMATS, Variants, variant_to_proto

__all__ = ["ModelsService"]

Context = grpc.aio.ServicerContext[Any, Any]
# Half a point, as the contract says.
MAX_ACCURACY_DROP: Final = 0.005
# Models of one comparison.
FEWEST, MOST = 2, 16
ORDERS: Final = ("trial", "trial desc", "metric desc")
FIELDS: Final[Mapping[str, Callable[[store_pb2.TrialRecord], str]]] = {
    "state": lambda trial: service_pb2.TrialState.Name(trial.state).removeprefix("TRIAL_STATE_"),
    "final": lambda trial: str(bool(trial.final_of)),
    "injected": lambda trial: str(trial.injected),
}


class ModelsService(service_pb2_grpc.ModelsServicer):
    def __init__(self, store: Store, artifacts: Artifacts, datasets: Path, picks: Picks) -> None:
        self._store = store
        self._artifacts = artifacts
        self._picks = picks
        self._variants = Variants(store, artifacts, datasets)

    async def List(self, request: service_pb2.ListModelsRequest, context: Context) -> service_pb2.ListModelsResponse:
        page = Page.of(request.page_size, request.page_token, request.filter, request.order_by)
        order = one_of("order_by", request.order_by, ORDERS)
        matches, run_id = parse_filter(request.filter, FIELDS), run_id_of(request.parent)
        if order == ORDERS[0] and not request.filter:
            following = self._store.trials_after(run_id, page.last, page.count + 1)
        else:
            trials = _ordered(filter(matches, self._store.trials(run_id)), order, self._metric(run_id))
            # A trial that has moved in the order meanwhile counts where it is now.
            following = trials[next((place for place, trial in enumerate(trials, 1) if trial.trial == page.last), 0) :]
        models = fitting(map(_model, following), service_pb2.Model.ByteSize, page.count)
        more = page.next(models[-1].trial) if len(following) > len(models) else ""
        return service_pb2.ListModelsResponse(models=models, next_page_token=more)

    async def Get(self, request: service_pb2.GetModelRequest, context: Context) -> service_pb2.Model:
        return _model(self._store.trial(*trial_of(request.name)))

    async def Metrics(
        self, request: service_pb2.ModelMetricsRequest, context: Context
    ) -> service_pb2.ModelMetricsResponse:
        run_id, trial = trial_of(request.name)
        self._store.trial(run_id, trial)
        measured = self._store.metrics(run_id, trial)
        if sum(map(synthesizer_pb2.Measured.ByteSize, measured)) > RECEIVE_BYTES - MESSAGE_BYTES:
            text = f"its {len(measured):,} measurements are more than a message holds: read them with WatchMetrics"
            raise InvalidRequest("name", text)
        return service_pb2.ModelMetricsResponse(measured=measured)

    async def WatchMetrics(
        self, request: service_pb2.WatchMetricsRequest, context: Context
    ) -> AsyncIterator[service_pb2.WatchMetricsResponse]:
        run_id, trial = trial_of(request.name)
        count = request.after
        if count > len(self._store.metrics(run_id, trial)):
            raise InvalidRequest("after", f"{count} is more than there are measurements")
        while True:
            changed = self._store.changes(run_id)
            has_ended = self._store.trial(run_id, trial).state == service_pb2.TRIAL_STATE_ENDED
            for measured in self._store.metrics(run_id, trial)[count:]:
                count += 1
                yield service_pb2.WatchMetricsResponse(measured=measured, count=count)
            if has_ended:
                return
            try:
                await asyncio.wait_for(changed.wait(), HEARTBEAT_S)
            except TimeoutError:
                yield service_pb2.WatchMetricsResponse(count=count)

    async def Compare(
        self, request: service_pb2.CompareModelsRequest, context: Context
    ) -> service_pb2.CompareModelsResponse:
        if not FEWEST <= len(request.names) <= MOST:
            raise InvalidRequest("names", f"{len(request.names)} models: {FEWEST} to {MOST} can be compared")
        models = [_model(self._store.trial(*trial_of(name))) for name in request.names]
        return await asyncio.to_thread(compare, models)

    async def Pick(self, request: service_pb2.PickModelRequest, context: Context) -> service_pb2.Model:
        run_id, trial = trial_of(request.name)
        return _model(self._store.trial(run_id, await self._picks.pick(run_id, trial)))

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

    def _metric(self, run_id: str) -> str:
        return self._store.run(run_id).run.spec.metric or DEFAULT_METRIC

    def _exported(self, name: str) -> store_pb2.TrialRecord:
        trial = self._store.trial(*trial_of(name))
        if not trial.artifacts:
            best = self._store.run(trial.run).run.model
            hint = f"the run's exported model is {best}" if best else "the run has not come to its export yet"
            raise IllegalTransition(f"{name} is not exported: {hint}", state="NOT_EXPORTED")
        return trial


def _ordered(trials: Iterable[store_pb2.TrialRecord], order: str, metric: str) -> list[store_pb2.TrialRecord]:
    """`trials` come in the order of their numbers."""
    if order == "metric desc":
        return sorted(trials, key=lambda trial: _descending(trial.result.metrics.get(metric, math.nan)))
    return list(trials) if order == "trial" else list(trials)[::-1]


def _descending(value: float) -> float:
    """A key by which larger values come first, and what is no number last."""
    return math.inf if math.isnan(value) else -value


def _formats(request: service_pb2.ExportModelRequest) -> Sequence[Format]:
    unknown = set(request.formats) - FORMATS.keys()
    if unknown:
        raise InvalidRequest("formats", f"{unknown.pop()} is no format: INT8, FLOAT16, ANY_SIZE and PLAIN can be made")
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
        injected=trial.injected,
        parent=trial.parent,
        lineage=trial.lineage,
        final_of=trial.final_of,
        continued=trial.continued,
    )
    if trial.HasField("result"):
        model.result.CopyFrom(trial.result)
    return model
