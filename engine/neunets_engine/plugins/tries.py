"""What follows when a plugin's answer is an error: the contract's table, with a bound for every wait."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from neunets.errors import (
    Busy,
    CallInFlight,
    DeadlineExceeded,
    NeunetsError,
    NotReady,
    PluginFault,
    PluginUnavailable,
    RunNotOpen,
    SequenceGap,
)
from neunets_engine.plugins.plugin import PATIENCE_S, Plugin

__all__ = ["REFUSALS", "Occupied", "Tries"]

# Times that a call may be answered RUN_NOT_OPEN or SEQ_GAP in a row before that is the plugin's fault.
REFUSALS: Final = 5
# Attempts of a call whose plugin answers with an internal error, before it counts as a fault.
INTERNAL_TRIES: Final = 3
# Unless the plugin asks for a longer one.
BACK_OFF_S, LONGEST_BACK_OFF_S = 0.2, 30.0
SHORTEST_DEADLINE_S: Final = 0.1


@dataclass(slots=True)
class Occupied:
    """Until when an earlier call of the run may still be at work in the plugin; None: none is known to be."""

    until: float | None = None


class Tries:
    """The attempts of one call. Whatever a plugin answers, a hung one costs three times the call's deadline."""

    def __init__(self, plugin: Plugin, method: str, usual_deadline_s: float, occupied: Occupied) -> None:
        """`occupied` is shared by all calls of the run."""
        self._plugin, self._method, self._usual_s, self._occupied = plugin, method, usual_deadline_s, occupied
        self._is_late = False
        self._incarnation = plugin.incarnation
        self._internal = self._refusals = 0
        self._waits_since: float | None = None

    def deadline_s(self) -> float:
        """Seconds that the next attempt gets."""
        if not self._is_late or self._occupied.until is None:
            return self._usual_s
        return max(self._occupied.until - time.monotonic(), SHORTEST_DEADLINE_S)

    def begin(self) -> None:
        """An attempt begins, at the plugin as it is now."""
        self._incarnation = self._plugin.incarnation

    def answered(self) -> None:
        self._occupied.until = None

    async def follow(self, error: NeunetsError) -> None:
        """Return when the call is to be made again. Raises: what the run has to know."""
        match error:
            case PluginUnavailable():
                await self._fail(f"connection lost ({error.message})", is_lost=True)
            case RunNotOpen() | SequenceGap():
                self._refusals += 1
                if self._refusals >= REFUSALS:
                    await self._fail(f"it is refused again and again: {error.message}")
            case CallInFlight():
                await self._await_earlier(error)
            case NotReady() | Busy():
                await self._await_plugin(error)
            case DeadlineExceeded() if not self._is_late:
                self._is_late = True
                self._occupied.until = time.monotonic() + 2 * self._usual_s
            case DeadlineExceeded():
                await self._fail(f"no answer within {3 * self._usual_s:g} s")
            case PluginFault():
                self._internal += 1
                if self._internal >= INTERNAL_TRIES:
                    await self._fail(error.message)
            case _:
                raise error

    def leave(self, error: NeunetsError) -> None:
        """The answer is not needed; what was asked may still be at work."""
        if isinstance(error, DeadlineExceeded):
            self._occupied.until = time.monotonic() + 2 * self._usual_s

    async def _fail(self, why: str, *, is_lost: bool = False) -> None:
        """A fault of the plugin, which is ended and started again."""
        self._is_late, self._occupied.until, self._waits_since = False, None, None
        self._internal = self._refusals = 0
        await self._plugin.give_up(self._incarnation, f"{self._method}: {why}", is_lost=is_lost)

    async def _await_earlier(self, error: NeunetsError) -> None:
        now = time.monotonic()
        if self._occupied.until is None:
            self._occupied.until = now + self._usual_s
        if now >= self._occupied.until:
            await self._fail(f"an earlier call of the run has not come to its end: {error.message}")
            return
        await asyncio.sleep(min(_back_off_s(error), self._occupied.until - now))

    async def _await_plugin(self, error: NeunetsError) -> None:
        """Raises: NotReady where the plugin has put the run off for too long."""
        now = time.monotonic()
        self._waits_since = now if self._waits_since is None else self._waits_since
        if now - self._waits_since >= PATIENCE_S:
            text = f"synthesizer {self._plugin.name} has put off {self._method} for {PATIENCE_S:g} s: {error.message}"
            raise NotReady(text)
        await asyncio.sleep(_back_off_s(error))


def _back_off_s(error: NeunetsError) -> float:
    return min(max(BACK_OFF_S, error.retry_after_s), LONGEST_BACK_OFF_S)
