"""Health follows the store: what cannot be written is not ready, and a store that cannot grow ends its process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from grpc_health.v1 import health_pb2

from neunets_engine.service.readiness import ReadinessService
from neunets_engine.store import Store

NEWER_EPOCH = """
import lmdb, sys
with lmdb.open(sys.argv[1], max_dbs=16) as environment:
    meta = environment.open_db(b"meta")
    txn = environment.begin(write=True)
    txn.put(b"epoch", b"1000", db=meta)
    txn.commit()
"""
GROWING = """
import asyncio, resource, sys
from pathlib import Path
from neunets.service.v1 import service_pb2
from neunets_engine.store import Store

async def grow():
    store = Store(Path(sys.argv[1]))
    mapped = 1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize"))
    resource.setrlimit(resource.RLIMIT_AS, (mapped + (40 << 20),) * 2)
    for number in range(200):
        await store.create_run(service_pb2.Run(name=f"runs/r{number}", reason="x" * (1 << 20)), "")

asyncio.run(grow())
"""
Response: Any = health_pb2.HealthCheckResponse


async def status(service: ReadinessService) -> int:
    context: Any = None
    return int((await service.Check(health_pb2.HealthCheckRequest(), context)).status)


async def test_an_engine_whose_writes_fail_is_not_serving(tmp_path: Path) -> None:
    store = Store(tmp_path)
    await store.take_epoch()
    service = ReadinessService(store, ["neunets.service.v1.Runs"])
    assert await status(service) == Response.SERVING
    subprocess.run([sys.executable, "-c", NEWER_EPOCH, str(tmp_path)], check=True)
    assert await status(service) == Response.NOT_SERVING
    store.close()


def test_a_store_that_cannot_grow_ends_its_process_with_the_reason(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", GROWING, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 4
    assert "ulimit -v" in done.stderr
    assert "Traceback" not in done.stderr
