"""From the thread that reads to the one that tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Final, Self, TypeVar

from neunets.errors import NotReady
from neunets_engine.datasets.source import Progress

__all__ = ["Latest"]

T = TypeVar("T")
EVERY_S: Final = 0.5


class Latest:
    """The latest progress for the time of a `with`; a reading that goes on after it is ended by its next word."""

    def __init__(self) -> None:
        self._progress = Progress("opening", 0, 0)
        self._is_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_over = True

    def tell(self, progress: Progress) -> None:
        """Raises: NotReady when nobody listens any more."""
        if self._is_over:
            raise NotReady("nobody waits for these data any more")
        self._progress = progress

    async def until(self, reading: asyncio.Future[T]) -> AsyncIterator[Progress]:
        """Twice a second, while `reading` goes on."""
        reading.add_done_callback(_take_error)
        while not reading.done():
            await asyncio.wait({reading}, timeout=EVERY_S)
            if not reading.done():
                yield self._progress


def _take_error(reading: asyncio.Future[T]) -> None:
    """An error that nobody is left to be told is not logged as forgotten."""
    if not reading.cancelled():
        reading.exception()
