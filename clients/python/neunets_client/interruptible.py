"""Streams that an interrupt may leave at any moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

__all__ = ["Interruptible"]

Item = TypeVar("Item")


class Interruptible(Generic[Item]):
    """The items, which a thread of its own takes; after a KeyboardInterrupt it goes on where it was.

    Raised within gRPC, an interrupt may leave one of its locks locked: every later call then waits for ever.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self._taken: SimpleQueue[tuple[Item] | BaseException] = SimpleQueue()
        Thread(target=self._take, args=(items,), name="interruptible", daemon=True).start()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        taken = self._taken.get()
        if isinstance(taken, BaseException):
            self._taken.put(taken)
            raise taken
        return taken[0]

    def _take(self, items: Iterable[Item]) -> None:
        try:
            for item in items:
                self._taken.put((item,))
            self._taken.put(StopIteration())
        except Exception as error:  # whoever reads has to see it
            self._taken.put(error)
