"""Many images at once: on every core, in order, few of them in memory."""

from __future__ import annotations

import math
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import numpy as np

from neunets.images import Encoded, Fault, Remark, decode, header
from neunets.limits import cores
from neunets.preprocessing import Preprocessing
from neunets.process import die_with_parent
from neunets_engine.datasets.bounds import Bounds, limit_memory, note_files, noted
from neunets_engine.datasets.source import Array, refusal

__all__ = ["PART", "Decoded", "Decoders", "Measured", "check_part", "decode_part", "measure_part"]

T = TypeVar("T")
Part = Sequence[Encoded]
PART: Final = 64  # images of one call
SMALLEST: Final = Preprocessing(1, 1, 1)  # where the pixels do not matter
PART_BYTES: Final = 4 << 20  # of pixels at most, where one image is not larger
# Work of one process before others are started, which takes about as long.
PATIENCE_S: Final = 0.5
MOST_NAMES: Final = 4
WAITING: Final = 3  # calls of each process that are under way or done


@dataclass(frozen=True, slots=True)
class Measured:
    sizes: Array  # (n, 2) int32: width, height
    is_grey: Array  # (n,) bool
    fault: tuple[int, Fault] | None  # the first image that cannot be used


@dataclass(frozen=True, slots=True)
class Decoded:
    pixels: Array  # (n, H, W, C) uint8
    remarks: Mapping[Remark, Sequence[int]]  # images of the part
    fault: tuple[int, Fault] | None


def measure_part(part: Part) -> Measured:
    """By the headers alone."""
    sizes, is_grey = np.zeros((len(part), 2), np.int32), np.zeros(len(part), np.bool_)
    for place, encoded in enumerate(part):
        found = header(encoded)
        if isinstance(found, Fault):
            return Measured(sizes[:place], is_grey[:place], (place, found))
        sizes[place], is_grey[place] = (found.width, found.height), found.is_grey
    return Measured(sizes, is_grey, None)


def decode_part(part: Part, wanted: Preprocessing) -> Decoded:
    pixels = np.empty((len(part), *wanted.shape), np.uint8)
    remarks: dict[Remark, list[int]] = {}
    for place, encoded in enumerate(part):
        found = decode(encoded, wanted)
        if isinstance(found, Fault):
            return Decoded(pixels[:place], remarks, (place, found))
        pixels[place], remarked = found
        for remark in remarked:
            remarks.setdefault(remark, []).append(place)
    return Decoded(pixels, remarks, None)


def check_part(part: Part) -> Sequence[tuple[int, Fault]]:
    """The images that cannot be used, found by reading all of each."""
    found = ((place, decode(encoded, SMALLEST)) for place, encoded in enumerate(part))
    return [(place, fault) for place, fault in found if isinstance(fault, Fault)]


class Decoders:
    """One process a core for the time of a `with`, started when the work has gone on for `patience_s` without them.

    Processes, not threads: Pillow holds the interpreter's lock for most of a small image. On 2 cores threads decoded
    0.95 (images of 24 to 96 pixels) and 1.06 (400 to 700 pixels) times what one did, processes 1.6 and 1.3 times.
    """

    def __init__(self, patience_s: float = PATIENCE_S, bounds: Bounds | None = None, notes: Path | None = None) -> None:
        """`bounds`: of their memory. `notes`: a folder where each notes the file that it reads."""
        self._pool: ProcessPoolExecutor | None = None
        self._first: Future[int] = Future()
        usable = cores().value
        self._cores = usable if bounds is None else bounds.decoders(usable)
        self._memory_bytes = None if bounds is None else bounds.decoder_bytes(usable)
        self._notes = notes
        self._patience_s = patience_s if self._cores > 1 else math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def measure(self, parts: Iterable[Part]) -> Iterator[Measured]:
        return self._over(measure_part, iter(parts))

    def decode(self, parts: Iterable[Part], wanted: Preprocessing) -> Iterator[Decoded]:
        return self._over(partial(decode_part, wanted=wanted), iter(parts))

    def check(self, parts: Iterable[Part]) -> Iterator[Sequence[tuple[int, Fault]]]:
        return self._over(check_part, iter(parts))

    def _over(self, work: Callable[[Part], T], parts: Iterator[Part]) -> Iterator[T]:
        """Results in the order of `parts`. Raises: InvalidRequest where a process was killed."""
        while not self.is_ready():
            begin = time.monotonic()
            part = next(parts, None)
            if part is None:
                return
            yield work(part)
            self._patience_s -= time.monotonic() - begin
        assert self._pool is not None
        yield from self._together(self._pool, work, parts)

    def is_ready(self) -> bool:
        """Whether the processes work. They are started here once the patience is over; until then the caller works."""
        if self._patience_s > 0.0:
            return False
        if self._pool is None:
            # Not forked: gRPC's threads do not live through it.
            self._pool = ProcessPoolExecutor(
                self._cores, get_context("spawn"), _begin, (self._memory_bytes, self._notes)
            )
            self._first = self._pool.submit(os.getpid)
        return self._first.done()

    def _together(self, pool: ProcessPoolExecutor, work: Callable[[Part], T], parts: Iterator[Part]) -> Iterator[T]:
        waiting: deque[Future[T]] = deque()
        try:
            for part in parts:
                waiting.append(pool.submit(work, part))
                if len(waiting) >= WAITING * self._cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            names = noted(self._notes)[:MOST_NAMES] if self._notes is not None else []
            text = "a process that decoded it was killed, perhaps for want of memory"
            raise refusal(
                " or ".join(names) or "an image", text, "replace it, make it smaller, or free memory"
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def _begin(memory_bytes: int | None, notes: Path | None) -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the engine, which then ends this process
    if memory_bytes is not None:
        limit_memory(memory_bytes)
    if notes is not None:
        note_files(notes)
