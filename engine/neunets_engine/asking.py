"""Bounds what a run waits for: by the time that it has, and by the request to stop it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

__all__ = ["Asking", "beside"]

# Granted to every question, so that the last results of a search that has used its time are still told.
GRACE_S: Final = 2.0
# The run's time may change while it waits.
LOOK_EVERY_S: Final = 1.0

Result = TypeVar("Result")


class Asking:
    """The calls of one run. A synthesizer that has not answered in time is asked nothing more."""

    def __init__(self, left_s: Callable[[], float]) -> None:
        """`left_s()`: seconds that the run still has for an answer, as it is now; may be infinite."""
        self._left_s = left_s
        self._stopped = asyncio.Event()
        self.is_overdue = False

    def stop(self) -> None:
        """The run is asked to stop: no answer is waited for any more."""
        self._stopped.set()

    async def of(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """The result of `work`, which is cancelled once the run's time is over or it is asked to stop: then None."""
        if self._stopped.is_set() or self.is_overdue:
            work.close()
            return None
        working, stopped = asyncio.ensure_future(work), asyncio.ensure_future(self._stopped.wait())
        begin = time.monotonic()
        try:
            while not working.done() and not stopped.done():
                left_s = max(self._left_s(), GRACE_S - (time.monotonic() - begin))
                if left_s <= 0:
                    self.is_overdue = True
                    break
                await asyncio.wait(
                    {working, stopped}, timeout=min(left_s, LOOK_EVERY_S), return_when=asyncio.FIRST_COMPLETED
                )
            return working.result() if working.done() else None
        finally:
            stopped.cancel()
            if not working.done():
                working.cancel()
                await asyncio.wait([working])


async def beside(write: Coroutine[Any, Any, None], work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, which is done while something is written. Raises: the first error of either."""
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(write)
            working = both.create_task(work)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return working.result()
