"""One law of the contract as a check, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from neunets.synthesizer.v1 import synthesizer_pb2 as pb

if TYPE_CHECKING:
    from neunets.conform.bench import Bench

__all__ = ["Check", "Level", "NotStarted", "Outcome", "Result", "Skipped", "Violation"]


class Level(Enum):
    """Each contains the ones before it."""

    CORE = "core"
    RECOVERY = "recovery"
    QUALITY = "quality"

    def contains(self, other: Level) -> bool:
        levels = list(Level)
        return levels.index(other) <= levels.index(self)


class Outcome(Enum):
    """SKIPPED is conformant: the plugin does not claim what the check needs, or nobody can look from here."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Violation(Exception):
    """A law is broken; the message says in one sentence how.

    `cause`: the same for all checks that fail since the same call is answered wrongly whatever it is asked; empty: this
    check alone tells.
    """

    def __init__(self, text: str, cause: str = "") -> None:
        super().__init__(text)
        self.cause = cause


class Skipped(Exception):
    """The law says nothing about this plugin; the message says why."""


class NotStarted(Exception):
    """There is no plugin to check; the message says what it printed last."""


@dataclass(frozen=True, slots=True)
class Check:
    """`id` is stable. `law` is one sentence of what the contract demands.

    `run` raises Violation or Skipped. `needs`: a capability without which there is nothing to check;
    `needs_process`: the kit has to own the plugin's process.
    """

    id: str
    law: str
    level: Level
    run: Callable[[Bench], None]
    needs: pb.Capability.ValueType | None = None
    needs_process: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """Of one check in one repetition. `exchange`: its last calls, `output`: the plugin's last lines; if it failed."""

    check: Check
    outcome: Outcome
    seconds: float
    reason: str = ""
    exchange: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    cause: str = ""  # as of a Violation
