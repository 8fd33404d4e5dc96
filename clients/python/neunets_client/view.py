"""How a run looks while it goes on: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from neunets.cost import cost
from neunets.errors import InvalidGraph
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_from_proto

__all__ = ["follow"]

ROWS: Final = 10
REFRESH_HZ: Final = 4
ENDS: Final = synthesizer_pb2.TrialEnded.State


@dataclass(slots=True)
class _Trial:
    candidate: str
    status: str = "training"
    accuracy: float = float("nan")
    seconds: float = 0.0


@dataclass(slots=True)
class _Board:
    """What is known of a run from its events."""

    run: service_pb2.Run = field(default_factory=service_pb2.Run)
    trials: dict[str, _Trial] = field(default_factory=dict)
    params: dict[str, int] = field(default_factory=dict)  # by candidate
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
                return f"final training of the network of {response.event.final_training.of}"
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
                    try:
                        self.params[entry.id] = cost(graph_from_proto(entry.candidate.graph)).params
                    except InvalidGraph:
                        self.params[entry.id] = 0
            case "rejected":
                why = event.rejected.why[0].summary if event.rejected.why else ""
                return f"{event.rejected.candidate} was rejected: {why}"
            case "started":
                self.trials[event.started.trial] = _Trial(event.started.candidate)
            case "measured" if event.measured.trial in self.trials:
                trial = self.trials[event.measured.trial]
                trial.accuracy = event.measured.metrics.get("valid_accuracy", trial.accuracy)
            case "ended":
                return self._ended(event.ended)
        return None

    def _ended(self, ended: synthesizer_pb2.TrialEnded) -> str:
        trial = self.trials.setdefault(ended.trial, _Trial(ended.candidate))
        trial.status = ENDS.Name(ended.state).removeprefix("STATE_").lower()
        trial.accuracy = dict(ended.metrics).get("valid_accuracy", trial.accuracy)
        trial.seconds = ended.device_s
        words = f"{ended.trial} {trial.status}: {self.params.get(ended.candidate, 0):,} parameters"
        if trial.accuracy == trial.accuracy:
            words += f", validation accuracy {trial.accuracy:.4f}"
        return f"{words}, {ended.device_s:.1f} s{': ' + ended.error.summary if ended.error.summary else ''}"

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

    def table(self) -> Group:
        table = Table("trial", "parameters", "state", "validation", "seconds", expand=False)
        for name, trial in list(self.trials.items())[-ROWS:]:
            accuracy = f"{trial.accuracy:.4f}" if trial.accuracy == trial.accuracy else ""
            shown = f"{name} (final)" if name == self.final else name
            style = "bold" if name == self.run.best_trial else ""
            seconds = f"{trial.seconds:.1f}" if trial.seconds else ""
            params = f"{self.params.get(trial.candidate, 0):,}"
            table.add_row(shown, params, trial.status, accuracy, seconds, style=style)
        return Group(Text(self.head()), table)

    def __rich__(self) -> Group:
        return self.table()


def follow(responses: Iterable[service_pb2.WatchRunResponse], console: Console) -> None:
    """Show a run until its events end."""
    board = _Board()
    if console.is_terminal:
        with Live(board, console=console, refresh_per_second=REFRESH_HZ):
            for response in responses:
                line = board.take(response)
                is_in_table = response.event.search.WhichOneof("event") == "ended"
                if line is not None and not is_in_table:
                    _print(console, line)  # above the table
        return
    for response in responses:
        line = board.take(response)
        if line is not None:
            _print(console, line)


def _print(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _name(state: service_pb2.RunState.ValueType) -> str:
    return service_pb2.RunState.Name(state).removeprefix("RUN_STATE_")
