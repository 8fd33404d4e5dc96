"""How the command line is started: terminals of few letters, or none, and the signals that end it."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import Final

__all__ = ["ENDING", "adapt", "ignore_signals"]

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def adapt() -> None:
    """Print what the terminal's encoding lacks as well as it can; let all signals end the command as Ctrl-C does.

    A signal that its user has it ignore (`nohup`) stays ignored.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever has started the command
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace" if name == "stdout" else "backslashreplace")
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def ignore_signals() -> None:
    """From now on: a second one shall not tear the engine's end."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
