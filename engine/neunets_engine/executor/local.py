"""Trainer workers as child processes of the engine: one slot each, started again when they end."""

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
    ) -> None:
        """`devices`: one entry a slot ("cpu", "cuda:0"); `memory_bytes`: of this machine, for all slots together.

        `lost(worker, why)` is called when a worker has ended; `command` starts one, with the options of `TRAINER`.
        """
        self._endpoint = endpoint
        self._devices = tuple(devices)
        self._memory_bytes = memory_bytes
        self._logs = logs
        self._lost = lost
        self._command = tuple(command)
        self._processes: dict[str, KeptProcess] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def slots(self) -> int:
        return len(self._devices)

    def pids(self) -> list[int]:
        return [process.pid for process in self._processes.values() if process.pid is not None]

    def start(self) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        for number, device in enumerate(self._devices):
            self._tasks.append(asyncio.create_task(self._supervise(f"slot{number}", device)))

    def kill(self, worker: str) -> None:
        """Kill a worker that hangs; it is started again."""
        process = self._processes.get(worker)
        if process is not None:
            process.kill()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
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
            code = await process.wait()
            return process.error or f"exit code {code}"
        finally:
            await process.end()
            await output.close(LAST_WORDS_S)
