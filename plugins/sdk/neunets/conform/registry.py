"""All checks, in the order in which they are made."""

from __future__ import annotations

from typing import Final

from neunets.conform import (
    checkpoints,
    core_assess,
    core_candidates,
    core_continuation,
    core_describe,
    core_ingest,
    core_launch,
    core_lineage,
    core_open,
    core_propose,
    core_runs,
    core_stops,
    endurance,
    quality,
    recovery,
)
from neunets.conform.check import Check

__all__ = ["CHECKS", "table"]

CHECKS: Final[tuple[Check, ...]] = (
    *core_describe.CHECKS,
    *core_open.CHECKS,
    *core_propose.CHECKS,
    *core_candidates.CHECKS,
    *core_lineage.CHECKS,
    *core_continuation.CHECKS,
    *core_ingest.CHECKS,
    *core_assess.CHECKS,
    *core_stops.CHECKS,
    *core_runs.CHECKS,
    *core_launch.CHECKS,
    *recovery.CHECKS,
    *checkpoints.CHECKS,
    *endurance.CHECKS,
    *quality.CHECKS,
)


def table() -> tuple[tuple[str, str, str], ...]:
    """(id, level, law) of each check."""
    return tuple((check.id, check.level.value, check.law) for check in CHECKS)
