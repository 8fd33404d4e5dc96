"""How many trainings at once make the most of a device: processes that train at the same time, as workers do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Final

import torch

from neunets_trainer.measurement import Setting, TrainingStep

__all__ = ["Crowd", "crowd_rates"]

ROUNDS: Final = 2
TURN_S: Final = 0.3
# Until all have their orders.
NOTICE_S: Final = 0.02
START_DEADLINE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Crowd:
    workers: int
    threads: int

    def __str__(self) -> str:
        return f"{self.workers} x {self.threads}"


def crowd_rates(tried: Sequence[Crowd], setting: Setting, device: str) -> dict[Crowd, float]:
    """Images per second of all workers of each crowd together; 0 where one of them cannot train beside the others."""
    best = dict.fromkeys(tried, 0.0)
    with ExitStack() as stack:
        most = max(crowd.workers for crowd in tried)
        workers = [stack.enter_context(_worker(setting, device)) for _ in range(most)]
        ready = [_answer(worker, START_DEADLINE_S) is not None for worker in workers]
        possible = [crowd for crowd in tried if all(ready[: crowd.workers])]
        for _ in range(ROUNDS):
            for crowd in possible:
                best[crowd] = max(best[crowd], _turn(workers[: crowd.workers], crowd.threads))
    return best


def _turn(workers: Sequence[Connection], threads: int) -> float:
    begin = time.monotonic() + NOTICE_S
    try:
        for worker in workers:
            worker.send((threads, begin, begin + TURN_S))
    except OSError:  # it has ended
        return 0.0
    answers = [_answer(worker, START_DEADLINE_S) for worker in workers]
    return 0.0 if None in answers else sum(answer for answer in answers if answer is not None)


def _answer(worker: Connection, deadline_s: float) -> float | None:
    """Images per second; None: it has ended, or hangs."""
    try:
        return float(worker.recv()) if worker.poll(deadline_s) else None
    except (EOFError, OSError):
        return None


@contextmanager
def _worker(setting: Setting, device: str) -> Iterator[Connection]:
    """A process that trains when it is told to, by one end of a pipe, for the time of a `with`."""
    context = get_context("spawn")  # a copy of this process would share its threads and its GPU, which breaks both
    ours, theirs = context.Pipe()
    process = context.Process(target=_train, args=(theirs, setting, device), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()  # before its pipe ends, which it would complain of
        process.join()
        process.close()
        ours.close()


def _train(orders: Connection, setting: Setting, device: str) -> None:
    torch.set_num_threads(1)
    step = TrainingStep(setting, device)
    orders.send(step.images_per_s(0.0))
    while True:
        threads, begin, end = orders.recv()
        torch.set_num_threads(threads)
        step.images_per_s(0.0)  # the team of threads is made in a first step
        time.sleep(max(0.0, begin - time.monotonic()))
        orders.send(step.images_per_s(end))
