"""What a check works with: the plugin, runs of its own, and searches that several checks look at."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from neunets.conform import quality
from neunets.conform.check import Skipped
from neunets.conform.drive import Fate, Run, propose_deadline_s
from neunets.conform.events import State
from neunets.conform.exchange import Exchange
from neunets.conform.host import Host
from neunets.conform.launch import Launched, Plugin
from neunets.conform.problem import message_of, settings_of, surveyed, usual
from neunets.conform.virtual import Setting, Virtual
from neunets.errors import UnsupportedProblem
from neunets.status import STATUS
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["Bench", "Options", "Survey"]

AnyRun = TypeVar("AnyRun", bound=Run)

WANT: Final = 16
# Of the search in which not every trial succeeds before the next candidates are asked for.
FEW, WANT_FEW = 64, 4
FATES: Final[Sequence[Fate]] = (
    State.STATE_SUCCEEDED,
    State.STATE_SUCCEEDED,
    State.STATE_FAILED,
    State.STATE_STOPPED,
    None,
    State.STATE_INFEASIBLE,
    None,
)
# Of all runs, so that there are older ones.
EPOCH: Final = 3


@dataclass(frozen=True, slots=True)
class Options:
    """`repetition` counts from 0. `pause_s`: of SIGSTOP. `runs`: in virtual time, of one quality."""

    seed: int
    repetition: int
    pause_s: float
    runs: int


class Survey:
    """Whole searches, made once for all checks that look at candidates."""

    def __init__(self) -> None:
        self._runs: tuple[Run, ...] = ()
        self._uneven: Run | None = None
        self._is_broken = False
        self._sample: quality.Sample | None = None

    def runs(self, bench: Bench) -> Sequence[Run]:
        """One of each problem.

        Raises: Violation where the search breaks off; afterwards Skipped, since one failure is enough.
        """
        if self._is_broken:
            raise Skipped("the search broke off: see core/search")
        if not self._runs:
            self._is_broken = True
            self._runs = _searched(bench)
            self._is_broken = False
        return self._runs

    def uneven(self, bench: Bench) -> Run:
        """A search in which trials fail, or still train when the next candidates are asked for. Raises: Violation."""
        if self._uneven is None:
            run = bench.opened()
            run.search(FEW, WANT_FEW, FATES)
            run.close()
            self._uneven = run
        return self._uneven

    def sample(self, bench: Bench) -> quality.Sample:
        """Runs in virtual time. Raises: Violation where one breaks off."""
        if self._sample is None:
            self._sample = quality.played_by(bench)
        return self._sample


def _searched(bench: Bench) -> tuple[Run, ...]:
    runs = []
    for problem, count in surveyed(bench.description):
        run = bench.opened_if_supported(problem)
        if run is not None:
            run.search(count, WANT)
            run.close()
            runs.append(run)
    return tuple(runs)


class Bench:
    """Of one check in one repetition."""

    def __init__(self, plugin: Plugin, check: str, options: Options, survey: Survey) -> None:
        self.plugin = plugin
        self.options = options
        self.survey = survey
        self.exchange = Exchange(plugin.channel)
        self._check = check
        self._runs: list[Run] = []

    @property
    def description(self) -> pb.DescribeResponse:
        return self.plugin.description

    @property
    def launched(self) -> Launched:
        """For checks that need the process."""
        assert isinstance(self.plugin, Launched)
        return self.plugin

    @property
    def host(self) -> Host:
        return self.launched.host

    @property
    def propose_s(self) -> float:
        return propose_deadline_s(self.description)

    def has(self, capability: pb.Capability.ValueType) -> bool:
        return capability in self.description.capabilities

    @property
    def is_deterministic(self) -> bool:
        return self.has(pb.CAPABILITY_DETERMINISTIC)

    def seed(self, salt: object = "") -> int:
        """Of this check in this repetition."""
        text = f"{self.options.seed}/{self.options.repetition}/{self._check}/{salt}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")

    def needs_room(self, runs: int) -> None:
        """Raises: Skipped if the plugin does not open so many runs at a time."""
        most = self.description.max_open_runs
        if most and runs > most:
            raise Skipped(f"max_open_runs is {most}")

    def run(self, problem: pb.Problem | None = None, **fields: Any) -> Run:
        """A run that is not open yet. `fields` of its Call, and `seed`, in place of the usual ones.

        Raises: Skipped if the plugin does not open so many at a time.
        """
        opening = self._opening(problem or usual(self.description), **fields)
        return self._added(Run(self.exchange, opening, self.propose_s))

    def virtual(self, setting: Setting, seed: int) -> Virtual:
        """A run in virtual time that is not open yet. Raises: Skipped if the plugin does not open so many."""
        opening = self._opening(message_of(setting.recorded.problem), seed=seed)
        return self._added(Virtual(self.exchange, opening, self.propose_s, setting))

    def _opening(self, problem: pb.Problem, **fields: Any) -> pb.OpenRequest:
        self.needs_room(sum(run.is_open for run in self._runs) + 1)
        number = len(self._runs) + 1
        short = self._check.partition("/")[2]
        seed = fields.pop("seed", None)
        due: dict[str, Any] = {"run": f"{short}-{self.options.repetition}-{number}", "epoch": EPOCH}
        opening = pb.OpenRequest(
            call=pb.Call(**(due | fields)),
            problem=problem,
            settings=settings_of(self.description.settings_schema_json),
            seed=self.seed(number) if seed is None else seed,
        )
        opening.call.request_id = f"open-{opening.call.run}"
        return opening

    def _added(self, run: AnyRun) -> AnyRun:
        run.opening.budget.CopyFrom(run.budget())
        if isinstance(self.plugin, Launched):
            self.host.runs[run.name] = run
        self._runs.append(run)
        return run

    def opened(self, problem: pb.Problem | None = None, **fields: Any) -> Run:
        run = self.run(problem, **fields)
        run.open()
        return run

    def opened_if_supported(self, problem: pb.Problem) -> Run | None:
        """None if the plugin says that it cannot work on it."""
        run = self.run(problem)
        answer = run.try_open()
        if (answer.status.code, answer.status.reason) == STATUS[UnsupportedProblem]:
            return None
        answer.value()
        return run

    def end(self) -> None:
        """Close what the check has opened; what is refused now is another check's matter."""
        for run in self._runs:
            if isinstance(self.plugin, Launched):
                self.host.runs.pop(run.name, None)
                if not self.plugin.is_alive():
                    continue
            run.close()
