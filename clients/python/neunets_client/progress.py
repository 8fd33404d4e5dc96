"""How far a synthesis is, for one that is called from Python: a bar, or lines where none can be drawn."""

from __future__ import annotations

from importlib.util import find_spec
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from neunets.errors import InvalidRequest
from neunets.service.v1 import service_pb2
from neunets_client.reading import ReadingView
from neunets_client.states import run_state
from neunets_client.view import Board, print_line

__all__ = ["Progress", "SynthesisView"]

Progress: TypeAlias = Literal["auto", "bar", "lines", "none"]
WAYS: Final = ("auto", "bar", "lines", "none")
# What rich needs to draw in a notebook.
WIDGETS: Final = ("IPython", "ipywidgets")


class SynthesisView:
    """Shows what it is told, for the time of a `with`. Raises: InvalidRequest for another `progress`.

    "auto" is a bar on a terminal and in a notebook that can draw one, lines elsewhere.
    """

    def __init__(self, progress: Progress, console: Console | None = None) -> None:
        if progress not in WAYS:
            raise InvalidRequest("progress", f"{progress!r} is none of {', '.join(WAYS)}")
        self._console = console or _console(progress)
        self._has_lines = progress != "none"
        has_bar = progress == "bar" or (progress == "auto" and can_draw(self._console))
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
        self._bar = Bar(*columns, console=self._console, disable=not has_bar or not can_draw(self._console))
        self._task = self._bar.add_task("", total=1.0, visible=False)
        self._reading = ReadingView(self._console)
        self._board = Board()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def read(self, progress: service_pb2.ReadProgress) -> None:
        """Data on their way."""
        if not self._bar.disable:
            of = progress.done / progress.total if progress.total else 0.0
            self._bar.update(self._task, description=progress.stage, completed=of, visible=True)
        elif self._has_lines:
            self._reading.tell(progress)

    def take(self, response: service_pb2.WatchRunResponse) -> None:
        """What happens in the run."""
        line = self._board.take(response)
        if not self._bar.disable:
            words = _words(response.run)
            self._bar.update(self._task, description=words, completed=_fraction(response.run), visible=True)
        elif line is not None:
            self.say(line)

    def say(self, line: str) -> None:
        if self._has_lines:
            print_line(self._console, line)


def can_draw(console: Console) -> bool:
    return console.is_terminal or (console.is_jupyter and all(find_spec(name) for name in WIDGETS))


def _console(progress: Progress) -> Console:
    """A notebook that cannot draw gets plain text: it says that it is a terminal, and shows stderr as errors."""
    found = Console(stderr=True)
    if not found.is_jupyter or (progress in ("auto", "bar") and can_draw(found)):
        return found
    return Console(force_jupyter=False, force_terminal=False)


def _words(run: service_pb2.Run) -> str:
    best = [f"best {run.best_metric:.4f}"] if run.HasField("best_metric") else []
    of = f" of {run.spec.trials}" if run.spec.HasField("trials") else ""
    return " · ".join([run_state(run).lower(), f"{run.trials_ended}{of} trials", *best])


def _fraction(run: service_pb2.Run) -> float:
    """Of the budget; the final training counts as one trial more."""
    if run.HasField("end_time"):
        return 1.0
    wall = run.wall_s / run.spec.wall_s if run.spec.HasField("wall_s") else 0.0
    trials = run.trials_ended / (run.spec.trials + 1) if run.spec.HasField("trials") else 0.0
    return min(1.0, max(wall, trials))
