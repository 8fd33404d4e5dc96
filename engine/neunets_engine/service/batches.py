"""Events of runs in messages of many, each made once for all who watch the same."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from neunets.service.v1 import service_pb2
from neunets_engine.store import Store

__all__ = ["MOST_EVENTS", "PACE_S", "Batches"]

MOST_EVENTS: Final = 1000
# Less than other messages: of each watcher that reads nothing one waits in memory.
WATCHED_BYTES: Final = 256 << 10
# Those who watch look all at the same moments, so that they read the same.
PACE_S: Final = 0.25
# Messages that are kept.
KEPT: Final = 16


class Batches:
    """The last messages. They belong to everybody: nobody may change one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._made: OrderedDict[tuple[str, int, int, bool], service_pb2.WatchRunResponse] = OrderedDict()

    def after(self, run_id: str, seq: int, most: int, brief: bool) -> service_pb2.WatchRunResponse | None:
        """The events after the `seq`th, at most `most` of what a message holds, with the run; None: there are none yet.

        Raises: NotFound.
        """
        key = (run_id, seq, most, brief)
        made = self._made.get(key)
        if made is None:
            events = self._store.events(run_id, seq, most, WATCHED_BYTES)
            if not events:
                return None
            run = self._store.run(run_id).run
            if brief:
                for event in events:
                    _shorten(event)
            made = self._made[key] = service_pb2.WatchRunResponse(event=events[0], more=events[1:], run=run)
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
        return made


def _shorten(event: service_pb2.RunEvent) -> None:
    """Leave the graphs out."""
    for proposed in event.search.proposed.candidates:
        proposed.candidate.ClearField("graph")
    if event.search.HasField("injected"):
        event.search.injected.candidate.candidate.ClearField("graph")
