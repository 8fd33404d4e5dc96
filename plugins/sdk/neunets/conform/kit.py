"""The kit: all checks against one plugin, as often as is asked."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

from neunets.conform.bench import Bench, Options, Survey
from neunets.conform.check import Check, Level, NotStarted, Outcome, Result, Skipped, Violation
from neunets.conform.host import Host
from neunets.conform.launch import Dialled, Launched, Plugin
from neunets.conform.problem import usual
from neunets.conform.registry import CHECKS
from neunets.conform.report import Report
from neunets.sockets import check_home
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["PAUSE_S", "RUNS", "Request", "conform"]

PAUSE_S: Final = 30.0
RUNS: Final = 20
# The cause of a failure after which nothing can be tried any more.
NOT_STARTED: Final = "the plugin cannot be started again"
NEEDS_PROCESS: Final = "no --command: the process is not the kit's"


@dataclass(frozen=True, slots=True)
class Request:
    """What to check: `command` starts a plugin, or it listens at `endpoint`.

    `directory`: where the command runs; None: where the kit does. `only`: ids of the checks to make; none means all of
    `level`. `runs`: in virtual time, for the level quality. `tell` is called with each result.
    """

    command: str = ""
    endpoint: str = ""
    directory: Path | None = None
    level: Level = Level.CORE
    repeat: int = 1
    seed: int = 0
    only: Sequence[str] = ()
    pause_s: float = PAUSE_S
    runs: int = RUNS
    tell: Callable[[Result], None] = field(default=lambda _: None)


def conform(request: Request) -> Report:
    """Raises: NotStarted if there is no plugin to check, InvalidRequest where its socket would have too long a path."""
    checks = [check for check in CHECKS if _is_wanted(check, request)]
    begun, results = monotonic(), list[Result]()
    with _plugin(request) as plugin:
        usual(plugin.description)
        for repetition in range(request.repeat):
            survey = Survey()
            for check in checks:
                options = Options(request.seed, repetition, request.pause_s, request.runs)
                lost = next((result for result in results if result.cause == NOT_STARTED), None)
                results.append(_made(check, plugin, options, survey) if lost is None else _not_tried(check, lost))
                request.tell(results[-1])
        return Report(
            plugin.description,
            None if request.only else request.level,
            request.repeat,
            tuple(results),
            monotonic() - begun,
        )


def _is_wanted(check: Check, request: Request) -> bool:
    return check.id in request.only if request.only else request.level.contains(check.level)


@contextmanager
def _plugin(request: Request) -> Iterator[Plugin]:
    with ExitStack() as stack:
        if request.endpoint:
            yield stack.enter_context(Dialled(request.endpoint))
            return
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="neunets-")))  # 0700
        check_home(folder)
        host = stack.enter_context(Host(folder / "host.sock"))
        yield stack.enter_context(Launched(request.command, request.directory, host, folder))


def _made(check: Check, plugin: Plugin, options: Options, survey: Survey) -> Result:
    if check.needs_process and not isinstance(plugin, Launched):
        return Result(check, Outcome.SKIPPED, 0.0, NEEDS_PROCESS)
    if check.needs is not None and check.needs not in plugin.description.capabilities:
        return Result(check, Outcome.SKIPPED, 0.0, f"no {pb.Capability.Name(check.needs).removeprefix('CAPABILITY_')}")
    begun = monotonic()
    bench = Bench(plugin, check.id, options, survey)
    cause = ""
    try:
        plugin.ensure()
    except NotStarted as error:
        return Result(check, Outcome.FAILED, monotonic() - begun, str(error), (), plugin.lines(), NOT_STARTED)
    try:
        check.run(bench)
        outcome, reason = Outcome.PASSED, ""
    except Skipped as skipped:
        outcome, reason = Outcome.SKIPPED, str(skipped)
    except Violation as violation:
        outcome, reason, cause = Outcome.FAILED, str(violation), violation.cause
    except NotStarted as error:
        outcome, reason = Outcome.FAILED, str(error)
    seconds = monotonic() - begun
    lines, output = (bench.exchange.lines(), plugin.lines()) if outcome is Outcome.FAILED else ((), ())
    bench.end()
    if outcome is Outcome.FAILED and check.level is Level.RECOVERY and isinstance(plugin, Launched):
        plugin.kill()  # what it did to its process is not the next check's matter
    return Result(check, outcome, seconds, reason, lines, output, cause)


def _not_tried(check: Check, lost: Result) -> Result:
    return Result(check, Outcome.SKIPPED, 0.0, f"not tried: {NOT_STARTED}, see {lost.check.id}")
