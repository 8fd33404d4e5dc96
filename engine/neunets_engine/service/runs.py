"""`service.v1.Runs`: create, look, watch, change, stop, resume, delete."""

from __future__ import annotations

import asyncio
import datetime
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import grpc

from neunets.errors import InvalidRequest
from neunets.messages import fitting
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets_engine.lifecycle import FINAL, State
from neunets_engine.service.batches import MOST_EVENTS, PACE_S, Batches
from neunets_engine.service.lists import HEARTBEAT_S, Page, one_of, parse_filter
from neunets_engine.service.names import check_request_id, model_name, run_id_of
from neunets_engine.store import Store
from neunets_engine.supervisor import Supervisor

__all__ = ["RunsService"]

Context = grpc.aio.ServicerContext[Any, Any]


ORDERS: Final = ("create_time desc", "create_time")
FIELDS: Final[Mapping[str, Callable[[service_pb2.Run], str]]] = {
    "state": lambda run: State(run.state).name,
    "synthesizer": lambda run: run.spec.synthesizer,
    "dataset": lambda run: run.spec.dataset,
}


class RunsService(service_pb2_grpc.RunsServicer):
    def __init__(self, store: Store, supervisor: Supervisor) -> None:
        self._store = store
        self._supervisor = supervisor
        self._batches = Batches(store)

    async def Create(self, request: service_pb2.CreateRunRequest, context: Context) -> service_pb2.Run:
        check_request_id(request.request_id)
        spec = service_pb2.RunSpec()
        spec.CopyFrom(request.spec)
        spec.synthesizer = spec.synthesizer or "random"
        dataset = await self._supervisor.check(spec)
        run = service_pb2.Run(spec=spec, task=dataset.task)
        run.create_time.GetCurrentTime()
        if request.validate_only:
            return run
        now = datetime.datetime.now(datetime.UTC)
        run.name = f"runs/{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        description = self._supervisor.plugin(spec.synthesizer).description
        capabilities = description.capabilities if description is not None else ()
        created = await self._store.create_run(run, request.request_id, capabilities)
        if created.name == run.name:  # not one that the same request made before
            self._supervisor.start(run_id_of(created.name), interrupted=False)
        return created

    async def Get(self, request: service_pb2.GetRunRequest, context: Context) -> service_pb2.Run:
        return self._store.run(run_id_of(request.name)).run

    async def List(self, request: service_pb2.ListRunsRequest, context: Context) -> service_pb2.ListRunsResponse:
        page = Page.of(request.page_size, request.page_token, request.filter, request.order_by)
        order = one_of("order_by", request.order_by, ORDERS)
        matches = parse_filter(request.filter, FIELDS)
        runs = self._store.runs(page.count + 1, page.last, matches, oldest_first=order == "create_time")
        shown = fitting(runs, service_pb2.Run.ByteSize, page.count)
        more = page.next(run_id_of(shown[-1].name)) if len(runs) > len(shown) else ""
        return service_pb2.ListRunsResponse(runs=shown, next_page_token=more)

    async def Watch(
        self, request: service_pb2.WatchRunRequest, context: Context
    ) -> AsyncIterator[service_pb2.WatchRunResponse]:
        run_id = run_id_of(request.name)
        seq, most = request.after_seq, max(1, request.most)
        if seq > self._store.run(run_id).run.seq:
            raise InvalidRequest("after_seq", f"{seq} lies beyond the last event")
        if most > MOST_EVENTS:
            raise InvalidRequest("most", f"{most}: a message brings at most {MOST_EVENTS} events")
        while True:
            changed = self._store.changes(run_id)
            run = self._store.run(run_id).run  # before its events: a final state is the last of them
            batch = self._batches.after(run_id, seq, most if most > 1 else MOST_EVENTS, request.brief)
            if batch is not None:
                count = 1 + len(batch.more)
                if most > 1:
                    yield batch
                    if count < most and seq + count >= run.seq:  # else more is there already
                        await asyncio.sleep(PACE_S - time.monotonic() % PACE_S)
                else:
                    for event in (batch.event, *batch.more):
                        yield service_pb2.WatchRunResponse(event=event, run=batch.run)
                seq += count
                continue
            if State(run.state) in FINAL or State(run.state) is State.PAUSED:
                return
            try:
                await asyncio.wait_for(changed.wait(), HEARTBEAT_S)
            except TimeoutError:
                yield service_pb2.WatchRunResponse(run=run)

    async def UpdateBudget(self, request: service_pb2.UpdateBudgetRequest, context: Context) -> service_pb2.Run:
        record = await self._supervisor.update_budget(request, run_id_of(request.name))
        return record.run

    async def InjectCandidate(
        self, request: service_pb2.InjectCandidateRequest, context: Context
    ) -> service_pb2.InjectCandidateResponse:
        check_request_id(request.request_id)
        run_id = run_id_of(request.name)
        candidate, trial = await self._supervisor.inject(request, run_id)
        return service_pb2.InjectCandidateResponse(candidate=candidate, model=model_name(run_id, trial))

    async def Delete(self, request: service_pb2.DeleteRunRequest, context: Context) -> service_pb2.DeleteRunResponse:
        await self._supervisor.delete_run(run_id_of(request.name), request.etag)
        return service_pb2.DeleteRunResponse()

    async def Stop(self, request: service_pb2.StopRunRequest, context: Context) -> service_pb2.Run:
        if request.mode == service_pb2.StopRunRequest.MODE_UNSPECIFIED:
            raise InvalidRequest("mode", "say MODE_FINISH (export the best so far) or MODE_ABORT")
        record = await self._supervisor.stop_run(run_id_of(request.name), request.mode)
        return record.run

    async def Resume(self, request: service_pb2.ResumeRunRequest, context: Context) -> service_pb2.Run:
        record = await self._supervisor.resume_run(run_id_of(request.name))
        return record.run
