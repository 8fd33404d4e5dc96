"""Of whom candidates may come: those that a run has admitted, with what their trials have left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from neunets.lineage import Parent
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["WEIGHTS", "Family"]

# The artifact of a trial that is inherited.
WEIGHTS = "weights"


class Family:
    """A fold over the events of a run, as a plugin makes it too; `parents` by their ids."""

    def __init__(self, events: Iterable[pb.Event] = ()) -> None:
        self.parents: dict[str, Parent] = {}
        for event in events:
            self.add(event)

    def add(self, event: pb.Event) -> None:
        match event.WhichOneof("event"):
            case "proposed":
                for entry in event.proposed.candidates:
                    self._admit(entry)
            case "injected":
                self._admit(event.injected.candidate)
            case "rejected":
                self.parents.pop(event.rejected.candidate, None)
            case "ended":
                self._end(event.ended)

    def _admit(self, entry: pb.ProposedCandidate) -> None:
        self.parents[entry.id] = Parent(entry.id, entry.candidate.graph, has_ended=False, has_weights=False)

    def _end(self, ended: pb.TrialEnded) -> None:
        if not ended.will_retry and ended.candidate in self.parents:
            parent = self.parents[ended.candidate]
            self.parents[ended.candidate] = replace(parent, has_ended=True, has_weights=WEIGHTS in ended.artifacts)
