"""`service.v1.Runs`: create, look, watch, stop, resume."""

from __future__ import annotations

import asyncio
import base64
import datetime
import secrets
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from neunets.errors import InvalidRequest
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets_engine.lifecycle import FINAL, State
from neunets_engine.service.names import run_id_of
from neunets_engine.store import Store
from neunets_engine.supervisor import Supervisor

__all__ = ["RunsService", "page_bounds", "page_token"]

HEARTBEAT_S: Final = 15.0
LARGEST_PAGE: Final = 1000
USUAL_PAGE: Final = 50
Context = grpc.aio.ServicerContext[Any, Any]


def page_bounds(page_size: int, page_token: str) -> tuple[int, str]:
    """(count, last item of the page before) of a List request. Raises: InvalidRequest."""
    if page_size > LARGEST_PAGE:
        raise InvalidRequest("page_size", f"{page_size}: at most {LARGEST_PAGE}")
    try:
        after = base64.urlsafe_b64decode(page_token.encode()).decode()
    except ValueError:
        raise InvalidRequest("page_token", "it is not one that List has returned") from None
    return page_size or USUAL_PAGE, after


def page_token(last: str) -> str:
    """Opaque to clients."""
    return base64.urlsafe_b64encode(last.encode()).decode()


class RunsService(service_pb2_grpc.RunsServicer):
    def __init__(self, store: Store, supervisor: Supervisor) -> None:
        self._store = store
        self._supervisor = supervisor

    async def Create(self, request: service_pb2.CreateRunRequest, context: Context) -> service_pb2.Run:
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
        created = await self._store.create_run(run, request.request_id)
        if created.name == run.name:  # not one that the same request made before
            self._supervisor.start(run_id_of(created.name), interrupted=False)
        return created

    async def Get(self, request: service_pb2.GetRunRequest, context: Context) -> service_pb2.Run:
        return self._store.run(run_id_of(request.name)).run

    async def List(self, request: service_pb2.ListRunsRequest, context: Context) -> service_pb2.ListRunsResponse:
        count, before = page_bounds(request.page_size, request.page_token)
        runs = self._store.runs(count + 1, before)
        more = page_token(run_id_of(runs[count - 1].name)) if len(runs) > count else ""
        return service_pb2.ListRunsResponse(runs=runs[:count], next_page_token=more)

    async def Watch(
        self, request: service_pb2.WatchRunRequest, context: Context
    ) -> AsyncIterator[service_pb2.WatchRunResponse]:
        run_id = run_id_of(request.name)
        seq = request.after_seq
        if seq > self._store.run(run_id).run.seq:
            raise InvalidRequest("after_seq", f"{seq} lies beyond the last event")
        while True:
            changed = self._store.changes(run_id)
            run = self._store.run(run_id).run
            events = self._store.events(run_id, seq)
            for event in events:
                yield service_pb2.WatchRunResponse(event=event, run=run)
                seq = event.seq
            if events:
                continue
            if State(run.state) in FINAL or State(run.state) is State.PAUSED:
                return
            try:
                await asyncio.wait_for(changed.wait(), HEARTBEAT_S)
            except TimeoutError:
                yield service_pb2.WatchRunResponse(run=run)

    async def Stop(self, request: service_pb2.StopRunRequest, context: Context) -> service_pb2.Run:
        if request.mode == service_pb2.StopRunRequest.MODE_UNSPECIFIED:
            raise InvalidRequest("mode", "say MODE_FINISH (export the best so far) or MODE_ABORT")
        record = await self._supervisor.stop_run(run_id_of(request.name), request.mode)
        return record.run

    async def Resume(self, request: service_pb2.ResumeRunRequest, context: Context) -> service_pb2.Run:
        record = await self._supervisor.resume_run(run_id_of(request.name))
        return record.run
