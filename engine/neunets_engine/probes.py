"""What workers measure of a data set before its search: whether mirrored images keep their class."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from neunets.service.v1 import service_pb2
from neunets.worker.v1 import worker_pb2

__all__ = ["MirrorProbes"]


@dataclass(slots=True)
class _Pending:
    probe: worker_pb2.MirrorProbe
    answer: asyncio.Future[worker_pb2.ProbedRequest]
    worker: str = ""  # that has taken it


class MirrorProbes:
    """Nothing of it is kept: a restarted engine asks again."""

    def __init__(
        self, datasets: Path, deadline_s: float, wake: Callable[[], None], kill: Callable[[str], None]
    ) -> None:
        """`datasets`: folder of their arrays; `wake` lets waiting workers look again, `kill` ends one that hangs:
        a probe takes seconds, and without an answer after `deadline_s` the run begins without.
        """
        self._datasets, self._deadline_s = datasets, deadline_s
        self._wake, self._kill = wake, kill
        self._pending: dict[str, _Pending] = {}

    async def measure(self, dataset: service_pb2.Dataset, seed: int, threads: int) -> worker_pb2.ProbedRequest | None:
        """None: no worker has answered in time."""
        pending = self._pending.get(dataset.sha256)
        if pending is None:
            folder = str(self._datasets / dataset.sha256)
            arrays = worker_pb2.Dataset(folder=folder, sha256=dataset.sha256, classes=dataset.classes)
            probe = worker_pb2.MirrorProbe(dataset=arrays, input=dataset.input, seed=seed, threads=threads)
            pending = _Pending(probe, asyncio.get_running_loop().create_future())
            self._pending[dataset.sha256] = pending
            self._wake()
        try:
            return await asyncio.wait_for(asyncio.shield(pending.answer), self._deadline_s)
        except TimeoutError:
            if pending.worker:
                self._kill(pending.worker)
            return None
        finally:
            self._pending.pop(dataset.sha256, None)

    def is_waiting(self) -> bool:
        return any(not pending.worker for pending in self._pending.values())

    def take(self, worker: str) -> worker_pb2.MirrorProbe | None:
        """What `worker` is to measure: a new probe, or the one that it had not finished."""
        for pending in self._pending.values():
            if pending.worker in ("", worker) and not pending.answer.done():
                pending.worker = worker
                return pending.probe
        return None

    def answer(self, probed: worker_pb2.ProbedRequest) -> None:
        pending = self._pending.get(probed.sha256)
        if pending is not None and not pending.answer.done():
            pending.answer.set_result(probed)
