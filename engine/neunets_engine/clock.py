"""The wall seconds of running runs: kept every second, never refunded, counted on after a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import psutil

from neunets_engine.store import Store

__all__ = ["TICK_S", "RunClock"]

TICK_S: Final = 1.0


class RunClock:
    """Counts for the runs that were started; the store has what they had used before."""

    def __init__(self, store: Store, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._since: dict[str, tuple[float, float]] = {}  # run → (used before, started at)
        self._stopped: dict[str, float] = {}  # run → used, where that is not yet written

    def start(self, run_id: str, interrupted: bool) -> None:
        """`interrupted`: the engine died under the run; the tick that was not written is charged."""
        used = self._store.run(run_id).run.wall_s + (TICK_S if interrupted else 0.0)
        self._since[run_id] = (used, self._monotonic())

    def used_s(self, run_id: str) -> float:
        before, started = self._since[run_id]
        return before + self._monotonic() - started

    async def stop(self, run_id: str) -> None:
        """Stop counting, and write what was used. Raises: DiskFull; may then be called again."""
        if run_id in self._since:
            self._stopped[run_id] = self.used_s(run_id)
            self._since.pop(run_id)
        if run_id in self._stopped:
            await self._store.tick({run_id: self._stopped[run_id]}, 0)
            self._stopped.pop(run_id, None)

    async def run(self, pids: Callable[[], list[int]]) -> None:
        """Tick until cancelled. `pids`: the processes whose memory counts as the runs'."""
        while True:
            await asyncio.sleep(TICK_S)
            if self._since:
                peak = sum(_resident_bytes(pid) for pid in pids())
                await self._store.tick({run_id: self.used_s(run_id) for run_id in self._since}, peak)


def _resident_bytes(pid: int) -> int:
    """Proportional set size where the kernel tells it: pages shared by several processes count once."""
    try:
        memory = psutil.Process(pid).memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(memory, "pss", 0) or memory.rss)
