"""The one tree of errors. Each class tells the caller what to do; `neunets.status` maps them to gRPC."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "BadCheckpoint",
    "Busy",
    "CallInFlight",
    "Damaged",
    "DeadlineExceeded",
    "IllegalTransition",
    "InvalidGraph",
    "InvalidRequest",
    "NeunetsError",
    "NotFound",
    "NotReady",
    "Outdated",
    "PermissionDenied",
    "PluginFault",
    "PluginUnavailable",
    "RequestReused",
    "RunNotOpen",
    "SequenceGap",
    "StaleEpoch",
    "Unauthenticated",
    "UnsupportedProblem",
]


class NeunetsError(Exception):
    """Base of all. `metadata` goes into the ErrorInfo of a gRPC status, `retry_after_s` into its RetryInfo."""

    retry_after_s: float = 0.0  # to wait at least before the call is made again

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: Mapping[str, str] = metadata


class InvalidRequest(NeunetsError):
    """A field is missing or bad: change it. `field` is its path ("spec.wall_s")."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message, field=field)
        self.field = field


class InvalidGraph(NeunetsError):
    """A graph breaks a rule. `node` is the culprit (empty: the whole graph), `rule` a stable code."""

    def __init__(self, node: str, rule: str, message: str) -> None:
        super().__init__(f"{node or 'graph'}: {message} [{rule}]", node=node, rule=rule)
        self.node = node
        self.rule = rule
        self.text = message  # without both


class NotFound(NeunetsError):
    """No resource of that name."""


class IllegalTransition(NeunetsError):
    """The state of the resource does not allow it; the state is in the message."""


class Outdated(NeunetsError):
    """The resource has changed since it was read: read it again, and decide again."""


class RequestReused(NeunetsError):
    """A request id came again with another body: use a new id."""


class UnsupportedProblem(NeunetsError):
    """The synthesizer cannot work on this problem: choose another."""


class RunNotOpen(NeunetsError):
    """The plugin does not know the run (it was restarted): Open and replay, then repeat."""


class StaleEpoch(NeunetsError):
    """A newer engine took over: step down."""


class CallInFlight(NeunetsError):
    """Another call for the same run is running: back off, repeat."""


class SequenceGap(NeunetsError):
    """Events are missing: send again from `applied_seq` + 1."""

    def __init__(self, applied_seq: int, message: str) -> None:
        super().__init__(message, applied_seq=str(applied_seq))
        self.applied_seq = applied_seq


class BadCheckpoint(NeunetsError):
    """The checkpoint cannot be read: Open without it, replay from event 1."""


class Damaged(NeunetsError):
    """What was kept has changed on its disk: restore it from a backup, or make it again."""


class Busy(NeunetsError):
    """Too many runs, or too much asked at once: wait."""

    retry_after_s = 1.0


class NotReady(NeunetsError):
    """Starting or draining: wait; this is no fault."""


class PluginUnavailable(NeunetsError):
    """The plugin's process or connection is gone: start it again, repeat."""


class PluginFault(NeunetsError):
    """The plugin raised or answered nonsense."""


class DeadlineExceeded(NeunetsError):
    """The answer did not come in time."""


class Unauthenticated(NeunetsError):
    """Wrong or used token."""


class PermissionDenied(NeunetsError):
    """Known, but not for this."""
