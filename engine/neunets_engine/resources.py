"""What all runs of an engine share."""

from __future__ import annotations

from dataclasses import dataclass

from neunets_engine.artifacts import Artifacts
from neunets_engine.clock import RunClock
from neunets_engine.datasets.integrity import Checked
from neunets_engine.probes import MirrorProbes
from neunets_engine.scheduler import Scheduler
from neunets_engine.store import Store

__all__ = ["Resources"]


@dataclass(frozen=True, slots=True)
class Resources:
    """What all runs of an engine share."""

    store: Store
    artifacts: Artifacts
    scheduler: Scheduler
    clock: RunClock
    probes: MirrorProbes
    slots: int
    data: Checked
