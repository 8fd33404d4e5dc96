"""How a run looks while it goes on: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console, ConsoleOptions, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from neunets.cost import cost
from neunets.errors import InvalidGraph
from neunets.sentences import printable
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_from_proto
from neunets_client.interruptible import Interruptible
from neunets_client.trials import COLUMNS, LAST_COLUMNS, Figure, ShownTrial

__all__ = ["Board", "follow", "print_line"]

ROWS: Final = 10
REFRESH_HZ: Final = 4
WIDE: Final = 100  # letters that a line needs for all columns
ENDS: Final = synthesizer_pb2.TrialEnded.State


@dataclass(slots=True)
class Board:
    """What is known of a run from its events."""

    run: service_pb2.Run = field(default_factory=service_pb2.Run)
    trials: dict[str, ShownTrial] = field(default_factory=dict)
    params: dict[str, int] = field(default_factory=dict)  # by candidate
    epochs: dict[str, float] = field(default_factory=dict)  # asked for, by candidate or final trial
    final: str = ""
    heard: float = field(default_factory=time.monotonic)

    def take(self, response: service_pb2.WatchRunResponse) -> str | None:
        """Learn from a response; returns a line that is worth printing."""
        self.run.CopyFrom(response.run)
        self.heard = time.monotonic()
        match response.event.WhichOneof("event"):
            case "search":
                return self._search(response.event.search)
            case "state_changed" if response.event.state_changed.reason:
                change = response.event.state_changed
                return f"{_name(change.to)}: {change.reason}"
            case "final_training":
                self.final = response.event.final_training.trial
                self.epochs[self.final] = response.event.final_training.recipe.epochs
                return f"final training of the network of {response.event.final_training.of}"
            case "synthesizer_fault":
                fault = response.event.synthesizer_fault
                return f"{fault.synthesizer}, fault {fault.faults}: {fault.reason}"
            case "model_exported":
                return "the ONNX model is exported and checked"
            case "log":
                return f"{response.event.log.source}: {response.event.log.text}"
            case _:
                return None

    def _search(self, event: synthesizer_pb2.Event) -> str | None:
        match event.WhichOneof("event"):
            case "proposed":
                for entry in event.proposed.candidates:
                    self.epochs[entry.id] = entry.candidate.recipe.epochs
                    try:
                        self.params[entry.id] = cost(graph_from_proto(entry.candidate.graph)).params
                    except InvalidGraph:
                        self.params[entry.id] = 0
            case "rejected":
                why = event.rejected.why[0].summary if event.rejected.why else ""
                return f"{event.rejected.candidate} was rejected: {why}"
            case "started":
                trial = self._trial(event.started.trial, event.started.candidate)
                self.trials[event.started.trial] = trial
            case "measured" if event.measured.trial in self.trials:
                self.trials[event.measured.trial].learn(event.measured.metrics, event.measured.epoch)
            case "ended":
                return self._ended(event.ended)
        return None

    def _ended(self, ended: synthesizer_pb2.TrialEnded) -> str:
        trial = self.trials.setdefault(ended.trial, self._trial(ended.trial, ended.candidate))
        trial.status = ENDS.Name(ended.state).removeprefix("STATE_").lower()
        trial.learn(ended.metrics, ended.metrics.get("epochs", 0.0))
        trial.seconds = ended.device_s
        if ended.peak_bytes:
            trial.metrics["memory_bytes"] = float(ended.peak_bytes)
        params = f"{self.params.get(ended.candidate, 0):,} parameters"
        words = ", ".join([params, *trial.line(), f"{ended.device_s:.1f} s"])
        return f"{ended.trial} {trial.status}: {words}{': ' + ended.error.summary if ended.error.summary else ''}"

    def _trial(self, name: str, candidate: str) -> ShownTrial:
        return ShownTrial(candidate, self.epochs.get(name, self.epochs.get(candidate, 0.0)))

    def head(self) -> str:
        run = self.run
        used = run.wall_s + (time.monotonic() - self.heard)
        best = f"{run.best_metric:.4f}" if run.HasField("best_metric") else "none yet"
        words = [f"{run.name}", _name(run.state), f"best {best}"]
        if run.spec.HasField("wall_s"):
            left = max(0.0, run.spec.wall_s - used)
            words.append(f"{left:.0f} s left of {run.spec.wall_s:.0f}")
        if run.spec.HasField("trials"):
            words.append(f"trial {run.trials_ended} of {run.spec.trials}")
            if run.trials_ended and not run.spec.HasField("wall_s"):
                left = used / run.trials_ended * (run.spec.trials - run.trials_ended)
                words.append(f"ETA {left:.0f} s and the final training")
        return " · ".join(words)

    def table(self, figures: Sequence[Figure]) -> Group:
        names = ("trial", "parameters", "state", "epoch", *(figure.name for figure in figures), "seconds")
        table = Table(*names, expand=False)
        for name, trial in list(self.trials.items())[-ROWS:]:
            shown = f"{name} (final)" if name == self.final else name
            style = "bold" if name == self.run.best_trial else ""
            seconds = f"{trial.seconds:.1f}" if trial.seconds else ""
            params = f"{self.params.get(trial.candidate, 0):,}"
            values = [figure.text(trial.metrics) for figure in figures]
            table.add_row(shown, params, trial.status, trial.progress(), *values, seconds, style=style)
        return Group(Text(printable(self.head())), table)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Group]:
        yield self.table((*COLUMNS, *LAST_COLUMNS) if options.max_width >= WIDE else COLUMNS)


def follow(responses: Iterable[service_pb2.WatchRunResponse], console: Console) -> None:
    """Show a run until its events end."""
    board, responses = Board(), Interruptible(responses)
    if console.is_terminal:
        with Live(board, console=console, refresh_per_second=REFRESH_HZ):
            for response in responses:
                line = board.take(response)
                is_in_table = response.event.search.WhichOneof("event") == "ended"
                if line is not None and not is_in_table:
                    print_line(console, line)  # above the table
        return
    for response in responses:
        line = board.take(response)
        if line is not None:
            print_line(console, line)


def print_line(console: Console, line: str) -> None:
    console.print(printable(line), highlight=False, markup=False, soft_wrap=True)


def _name(state: service_pb2.RunState.ValueType) -> str:
    return service_pb2.RunState.Name(state).removeprefix("RUN_STATE_")
