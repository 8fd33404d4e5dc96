"""Trainer workers as child processes of the engine, started again when they end: one a slot, more for more runs."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from neunets.machine import TRAINING_ENVIRONMENT
from neunets_engine.kept import KeptProcess
from neunets_engine.output import Log, Output

__all__ = ["TRAINER", "LocalExecutor"]

TRAINER: Final = (sys.executable, "-P", "-m", "neunets_trainer")

# The first wait before a worker that ended is started again; doubled at each end within a minute.
FIRST_DELAY_S: Final = 0.2
LONGEST_DELAY_S: Final = 30.0
LAST_WORDS_S: Final = 1.0
# A worker that has not asked for a trial by then hangs: libraries on a cold network disk take minutes.
START_S: Final = 300.0
LOOK_EVERY_S: Final = 1.0
# How a worker ends that has given back its lease and wants to begin anew.
RETIRED: Final = f"exit code {os.EX_TEMPFAIL}"
LOG: Final = logging.getLogger(__name__)


class LocalExecutor:
    """Starts and supervises the workers of this machine; the trials are the scheduler's."""

    def __init__(
        self,
        endpoint: str,
        devices: Sequence[str],
        memory_bytes: int,
        logs: Path,
        lost: Callable[[str, str], Awaitable[None]],
        command: Sequence[str] = TRAINER,
        has_asked: Callable[[str], bool] = lambda worker: True,
        start_s: float = START_S,
    ) -> None:
        """`devices`: one entry a slot ("cpu", "cuda:0"); `memory_bytes`: of this machine, for all slots together.

        `lost(worker, why)` is called when a worker has ended; `command` starts one, with the options of `TRAINER`. One
        that has not asked for a trial, which `has_asked(worker)` tells, `start_s` after its start is ended.
        """
        self._endpoint = endpoint
        self._devices = tuple(devices)
        self._memory_bytes = memory_bytes
        self._logs = logs
        self._lost = lost
        self._command = tuple(command)
        self._has_asked, self._start_s = has_asked, start_s
        self._processes: dict[str, KeptProcess] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def slots(self) -> int:
        return len(self._devices)

    def pids(self) -> list[int]:
        return [process.pid for process in self._processes.values() if process.pid is not None]

    def start(self) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        self.add_up_to(self.slots)

    def add_up_to(self, count: int) -> None:
        """Start workers until there are so many; those beyond the slots share the devices in turn."""
        for number in range(count):
            worker, device = f"slot{number}", self._devices[number % len(self._devices)]
            if worker not in self._tasks:
                self._tasks[worker] = asyncio.create_task(self._supervise(worker, device))

    def beyond(self, count: int) -> list[str]:
        """Workers that so many do not need."""
        return [f"slot{number}" for number in range(count, len(self._tasks))]

    async def remove(self, worker: str) -> None:
        """End a worker for good: the last one, and beyond the slots."""
        task = self._tasks.pop(worker)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._processes.pop(worker, None)

    def kill(self, worker: str) -> None:
        """Kill a worker that hangs; it is started again."""
        process = self._processes.get(worker)
        if process is not None:
            process.kill()

    async def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await asyncio.gather(*(process.end() for process in self._processes.values()))

    async def _supervise(self, worker: str, device: str) -> None:
        delay_s = FIRST_DELAY_S
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            ending = await self._run(worker, device)
            if ending == RETIRED:
                LOG.info("worker %s has grown too large, and is started anew", worker)
                continue
            if loop.time() - started > 60.0:
                delay_s = FIRST_DELAY_S
            LOG.warning("worker %s ended: %s", worker, ending)
            await self._lost(worker, f"worker {worker} ended: {ending}; see {self._logs / worker}.log")
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)

    async def _run(self, worker: str, device: str) -> str:
        """Start a worker, and say how it ended."""
        environment = {
            **os.environ,
            **TRAINING_ENVIRONMENT,
            "NEUNETS_PARENT_DEATH": "1",
        }
        command = [*self._command, "--engine", self._endpoint, "--worker", worker, "--device", device]
        command += ["--memory-bytes", str(self._memory_bytes // len(self._devices))]
        output = Output(Log(self._logs / f"{worker}.log"), lambda text: None)
        try:
            process = KeptProcess(command, environment, output.descriptor)
        except OSError as error:  # neither a full disk nor a full process table is the end of the slot
            return f"it cannot be started: {error}"
        finally:
            output.started()
        self._processes[worker] = process
        try:
            await self._asked(worker, process)
            code = await process.wait() if self._has_asked(worker) or not process.is_up() else None
            hangs = f"it has not asked for a trial within {self._start_s:g} s of its start"
            ending = process.error or (hangs if code is None else f"exit code {code}")
        finally:
            await process.end()
            await output.close(LAST_WORDS_S)
        said = next(reversed([line for line in output.lines() if line]), "")
        return f"{ending}; the last that it said: {said}" if said and ending != RETIRED else ending

    async def _asked(self, worker: str, process: KeptProcess) -> None:
        """Until the worker has asked for a trial, has ended, or its time is over."""
        ended = asyncio.ensure_future(process.wait())
        try:
            latest = asyncio.get_running_loop().time() + self._start_s
            while not ended.done() and not self._has_asked(worker) and asyncio.get_running_loop().time() < latest:
                await asyncio.wait([ended], timeout=min(LOOK_EVERY_S, self._start_s))
        finally:
            ended.cancel()
