"""What of a reading is told, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, TypeVar

from neunets_engine.datasets.source import Progress

__all__ = ["Latest"]

T = TypeVar("T")
EVERY_S: Final = 0.5


class Latest:
    """The latest progress of a reading."""

    def __init__(self) -> None:
        self._progress = Progress("opening", 0, 0)

    def tell(self, progress: Progress) -> None:
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
