"""How far the reading of data is: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from neunets.service.v1 import service_pb2

__all__ = ["ReadingView"]

LINE_EVERY_S: Final = 5.0


class ReadingView:
    """Shows what `tell` is given, for the time of a `with`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=None, visible=False)
        self._line_at = time.monotonic() + LINE_EVERY_S

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def tell(self, progress: service_pb2.ReadProgress) -> None:
        total = progress.total or None
        if self._console.is_terminal:
            self._bar.update(self._task, description=progress.stage, completed=progress.done, total=total, visible=True)
        elif time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + LINE_EVERY_S
            of = f" of {progress.total:,}" if progress.total else ""
            self._console.print(
                f"{progress.stage} {progress.done:,}{of}", highlight=False, markup=False, soft_wrap=True
            )
