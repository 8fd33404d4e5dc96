"""What a plugin owes whoever has started it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from neunets.conform.bench import Bench
from neunets.conform.check import Check, Level, Violation
from neunets.conform.core_describe import said
from neunets.conform.host import LEASE_S, PROTOCOL_MAJOR

__all__ = ["CHECKS"]


def _register(bench: Bench) -> None:
    request = bench.launched.registered
    path = request.endpoint.removeprefix("unix:").removeprefix("//")
    folder = bench.launched.folder.resolve()
    if not request.endpoint.startswith("unix:") or Path(path).resolve().parent != folder:
        raise Violation(f"the endpoint {request.endpoint!r} is no socket in NEUNETS_SOCKET_DIR")
    if PROTOCOL_MAJOR not in request.protocol_majors:
        raise Violation(f"protocol_majors {list(request.protocol_majors)} lacks {PROTOCOL_MAJOR}")
    if request.self != said(bench):
        raise Violation("what was registered as `self` is not what Describe answers")


def _lease(bench: Bench) -> None:
    if not bench.host.await_renewal(bench.launched.token, LEASE_S):
        raise Violation(f"the lease of {LEASE_S:g} s was not renewed in time; every third of it is due")


CHECKS: Final = (
    Check(
        "core/register",
        "A launched plugin registers a unix socket in NEUNETS_SOCKET_DIR, its protocol majors and what Describe says.",
        Level.CORE,
        _register,
        needs_process=True,
    ),
    Check(
        "core/lease",
        "A launched plugin renews its lease every third of it.",
        Level.CORE,
        _lease,
        needs_process=True,
    ),
)
