"""One engine on one folder: store, plugins, workers and the service API."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from neunets import limits
from neunets.errors import NotReady
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets.sockets import SERVER_OPTIONS
from neunets.status import AioStatusInterceptor
from neunets.synthesizer.v1 import synthesizer_pb2_grpc
from neunets.worker.v1 import worker_pb2_grpc
from neunets_engine.artifacts import Artifacts
from neunets_engine.clock import RunClock
from neunets_engine.datasets.bounds import Bounds
from neunets_engine.datasets.integrity import Checked
from neunets_engine.datasets.process import Reader
from neunets_engine.disk import DiskFull, keeping
from neunets_engine.executor import TRAINER, LocalExecutor
from neunets_engine.home import prepare
from neunets_engine.leases import Patience
from neunets_engine.listening import bind, check_loopback
from neunets_engine.picks import Picks
from neunets_engine.plugins import Authority, Enrolments, Manifest, RemotePluginHost, installed
from neunets_engine.probes import MirrorProbes
from neunets_engine.resources import Resources
from neunets_engine.scheduler import Scheduler
from neunets_engine.service.datasets import DatasetsService
from neunets_engine.service.models import ModelsService
from neunets_engine.service.readiness import ReadinessService
from neunets_engine.service.runs import RunsService
from neunets_engine.service.synthesizers import SynthesizersService
from neunets_engine.service.trainer import TrainerService
from neunets_engine.store import Store, check_files
from neunets_engine.supervisor import Supervisor
from neunets_engine.tenure import lock_home, step_down

__all__ = ["EngineSettings", "Remote", "serve"]

LOG: Final = logging.getLogger(__name__)
EXPIRE_EVERY_S: Final = 1.0
FIT_EVERY_S: Final = 0.5
GRACE_S: Final = 2.0
SERVICES: Final = tuple(service.full_name for service in service_pb2.DESCRIPTOR.services_by_name.values())


@dataclass(frozen=True, slots=True)
class Remote:
    """For synthesizers of other hosts. `listen`: where the plugin host is for them; `host`: as they call it."""

    listen: str
    host: str
    certificate_life_s: float = 86400.0


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """`home`: everything that is kept; `listen`: gRPC address of the service API; `devices`: one entry a slot.

    `take_up`: unfinished runs to go on with: "all", "none", or the id of one; `plugins`: beside the installed ones;
    `memory_bytes`: that all workers may use together; `remote`: None: synthesizers are children of the engine;
    `trainer`: the command of a worker, which speaks `neunets.worker.v1`; `reading`: what may be taken to
    read data.
    """

    home: Path
    listen: str
    devices: Sequence[str]
    take_up: str = "all"
    plugins: Sequence[Manifest] = ()
    patience: Patience = field(default_factory=Patience)
    memory_bytes: int = field(default_factory=lambda: limits.memory_bytes().value)
    remote: Remote | None = None
    trainer: Sequence[str] = TRAINER
    reading: Bounds = field(default_factory=Bounds)


async def serve(settings: EngineSettings, stop: asyncio.Event) -> None:
    """Run an engine until `stop` is set.

    Raises: NotReady if another engine works on the same folder, or its disk is full; InvalidRequest for an address
    open to other machines.
    """
    check_loopback(settings.listen)
    home = settings.home
    prepare(home)
    with keeping(home), lock_home(home):
        store = _opened(home)
        try:
            await _serve(settings, store, await store.take_epoch(step_down), stop)
        finally:
            store.close()


def _opened(home: Path) -> Store:
    """Raises: Damaged, DiskFull, NotReady."""
    try:
        with keeping(home):
            check_files(home / "store", [home / "artifacts", home / "datasets"])
            return Store(home / "store")
    except OSError as error:
        raise NotReady(f"the store in {home} cannot be opened: {error}; choose another --home") from error


async def _serve(settings: EngineSettings, store: Store, epoch: int, stop: asyncio.Event) -> None:
    home = settings.home
    artifacts = Artifacts(str(home / "artifacts"))
    scheduler, clock = Scheduler(store, settings.patience, slots=len(settings.devices)), RunClock(store)
    # A socket an epoch: the workers of an engine that was taken over from do not come to this one.
    for left in home.glob("host-*.sock"):
        left.unlink(missing_ok=True)
    endpoint = f"unix:{home / f'host-{epoch}.sock'}"
    executor = LocalExecutor(
        endpoint,
        settings.devices,
        settings.memory_bytes,
        home / "workers",
        scheduler.lost,
        settings.trainer,
        scheduler.starts.has_asked,
    )
    probes = MirrorProbes(home / "datasets", settings.patience.report_s, scheduler.wake, executor.kill)
    reader, checked = Reader(home / "datasets", settings.reading), Checked(home / "datasets")
    resources = Resources(store, artifacts, scheduler, clock, probes, executor.slots, checked)
    manifests = {**installed(), **{manifest.name: manifest for manifest in settings.plugins}}
    authority, remote = Authority(home / "tls"), settings.remote
    credentials = authority.engine([remote.host.rpartition(":")[0].strip("[]")] if remote is not None else [])
    life_s = remote.certificate_life_s if remote is not None else 0.0
    enrolments = Enrolments(
        store.synthesizers, authority, credentials, remote.host if remote is not None else None, life_s
    )
    picks = Picks(store, artifacts, scheduler, executor.slots)
    supervisor = Supervisor(resources, manifests, enrolments, home / "plugins", endpoint, epoch)

    host = grpc.aio.server(interceptors=[AioStatusInterceptor()], options=SERVER_OPTIONS)
    synthesizer_pb2_grpc.add_PluginHostServicer_to_server(supervisor.host, host)
    trainer = TrainerService(store, scheduler, artifacts, home / "datasets", probes)
    worker_pb2_grpc.add_TrainerServicer_to_server(trainer, host)
    bind(host, endpoint, home)

    far = grpc.aio.server(interceptors=[AioStatusInterceptor()], options=SERVER_OPTIONS)
    synthesizer_pb2_grpc.add_PluginHostServicer_to_server(RemotePluginHost(enrolments, supervisor.host), far)
    if remote is not None:
        pair = [(credentials.key, credentials.certificate)]
        bind(
            far, remote.listen, home, grpc.ssl_server_credentials(pair, authority.certificate, require_client_auth=True)
        )

    api = grpc.aio.server(interceptors=[AioStatusInterceptor()], options=SERVER_OPTIONS)
    service_pb2_grpc.add_RunsServicer_to_server(RunsService(store, supervisor), api)
    service_pb2_grpc.add_ModelsServicer_to_server(ModelsService(store, artifacts, home / "datasets", picks), api)
    datasets = DatasetsService(store, reader, checked)
    service_pb2_grpc.add_DatasetsServicer_to_server(datasets, api)
    service_pb2_grpc.add_SynthesizersServicer_to_server(SynthesizersService(store, supervisor), api)
    readiness = ReadinessService(store, SERVICES)
    health_pb2_grpc.add_HealthServicer_to_server(readiness, api)
    reflection.enable_server_reflection([*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME], api)
    bind(api, settings.listen, home)

    def pids() -> list[int]:
        return [os.getpid(), *executor.pids(), *supervisor.pids()]

    await host.start()
    await far.start()
    executor.start()
    background = [
        asyncio.create_task(_keep_time(clock, pids, scheduler)),
        asyncio.create_task(_expire(scheduler, executor)),
        asyncio.create_task(_fit(scheduler, executor)),
    ]
    await store.sweep(artifacts.remove)
    for run_id in store.unfinished():
        if settings.take_up in ("all", run_id):
            await supervisor.take_up(run_id)
    await api.start()
    LOG.info("epoch %d, %d slots, %s", epoch, executor.slots, settings.listen)
    LOG.info("synthesizers: %s", supervisor.listing())
    try:
        await stop.wait()
    finally:
        readiness.end()
        await reader.close()
        await supervisor.close()
        await picks.close()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await executor.stop()
        await api.stop(GRACE_S)
        await far.stop(0)
        await host.stop(0)


async def _keep_time(clock: RunClock, pids: Callable[[], list[int]], scheduler: Scheduler) -> None:
    while True:
        with contextlib.suppress(DiskFull), scheduler.halting():
            await clock.run(pids)


async def _expire(scheduler: Scheduler, executor: LocalExecutor) -> None:
    while True:
        await asyncio.sleep(EXPIRE_EVERY_S)
        for worker in await scheduler.expire():
            LOG.warning("worker %s is silent or hangs: it is started again", worker)
            executor.kill(worker)


async def _fit(scheduler: Scheduler, executor: LocalExecutor) -> None:
    """Keep as many workers as the open runs need."""
    while True:
        await asyncio.sleep(FIT_EVERY_S)
        wanted = scheduler.waiting.workers
        executor.add_up_to(wanted)
        idle = scheduler.fit(executor.beyond(wanted))
        for worker in reversed(executor.beyond(wanted)):
            if worker not in idle:
                break
            LOG.info("worker %s is not needed any more", worker)
            await executor.remove(worker)
            await scheduler.lost(worker, "it is not needed any more")
