"""The life of a run as one table; the store refuses every transition that is not in it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from neunets.errors import IllegalTransition
from neunets.service.v1 import service_pb2

__all__ = ["ACTIVE", "FINAL", "TRANSITIONS", "State", "check_transition", "mermaid"]


class State(Enum):
    """The states of `service.v1.RunState`, by the same numbers."""

    VALIDATING = service_pb2.RUN_STATE_VALIDATING
    INITIALIZING = service_pb2.RUN_STATE_INITIALIZING
    PROPOSING = service_pb2.RUN_STATE_PROPOSING
    TRAINING = service_pb2.RUN_STATE_TRAINING
    INGESTING = service_pb2.RUN_STATE_INGESTING
    ASSESSING = service_pb2.RUN_STATE_ASSESSING
    FINALIZING = service_pb2.RUN_STATE_FINALIZING
    COMPLETED = service_pb2.RUN_STATE_COMPLETED
    STOPPING = service_pb2.RUN_STATE_STOPPING
    STOPPED = service_pb2.RUN_STATE_STOPPED
    PAUSED = service_pb2.RUN_STATE_PAUSED
    FAILED = service_pb2.RUN_STATE_FAILED


_SEARCH: Final = (State.PROPOSING, State.TRAINING, State.INGESTING, State.ASSESSING)
ACTIVE: Final = frozenset({State.VALIDATING, State.INITIALIZING, *_SEARCH, State.FINALIZING, State.STOPPING})
FINAL: Final = frozenset({State.COMPLETED, State.STOPPED, State.FAILED})
_ANYWHERE: Final = frozenset({State.STOPPING, State.PAUSED, State.FAILED})

TRANSITIONS: Final[Mapping[State, frozenset[State]]] = {
    State.VALIDATING: _ANYWHERE | {State.INITIALIZING},
    State.INITIALIZING: _ANYWHERE | {State.PROPOSING},
    State.PROPOSING: _ANYWHERE | {State.TRAINING, State.FINALIZING},
    State.TRAINING: _ANYWHERE | {State.INGESTING},
    State.INGESTING: _ANYWHERE | {State.ASSESSING},
    State.ASSESSING: _ANYWHERE | {State.PROPOSING, State.FINALIZING},
    State.FINALIZING: _ANYWHERE | {State.COMPLETED},
    State.STOPPING: frozenset({State.STOPPED, State.PAUSED, State.FAILED}),
    # A paused run goes on where it stood.
    State.PAUSED: ACTIVE | {State.FAILED},
    State.COMPLETED: frozenset(),
    State.STOPPED: frozenset(),
    State.FAILED: frozenset(),
}


def check_transition(run: str, source: State, target: State) -> None:
    """Raises: IllegalTransition, which names both states."""
    if target not in TRANSITIONS[source]:
        raise IllegalTransition(f"{run} is {source.name}: it cannot become {target.name}", state=source.name)


def mermaid() -> str:
    """The table as a state diagram, for the documentation."""
    arrows = [
        f"    {source.name} --> {target.name}"
        for source, targets in TRANSITIONS.items()
        for target in sorted(targets, key=lambda state: state.value)
    ]
    return "\n".join(["stateDiagram-v2", "    [*] --> VALIDATING", *arrows])
