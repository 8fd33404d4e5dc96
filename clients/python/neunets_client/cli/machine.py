"""This machine: `up` runs an engine, `backup` copies what is kept, `doctor` tells what there is."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from neunets_client.cli.codes import FAILED
from neunets_client.cli.options import Home, Json
from neunets_client.cli.show import show
from neunets_client.connection import default_home
from neunets_client.doctor import examine

__all__ = ["backup", "doctor", "up"]


def up(
    listen: Annotated[str, typer.Option(help="Address of the service API.")] = "127.0.0.1:7390",
    plugin: Annotated[
        list[str] | None, typer.Option(help="A synthesizer beside the installed ones: its manifest, or NAME=COMMAND.")
    ] = None,
    plugin_listen: Annotated[
        str | None, typer.Option(help="HOST:PORT for enrolled synthesizers of other hosts, over mutual TLS.")
    ] = None,
    plugin_host: Annotated[
        str | None, typer.Option(help="HOST:PORT under which they reach it; by default --plugin-listen.")
    ] = None,
    home: Home = None,
) -> None:
    """Run an engine in the foreground; it lists its synthesizers with their states, and unfinished runs go on."""
    folder = home or default_home()
    command = [sys.executable, "-P", "-m", "neunets_engine", "--home", str(folder), "--listen", listen]
    command += [word for entry in plugin or () for word in ("--plugin", entry)]
    for option, value in (("--plugin-listen", plugin_listen), ("--plugin-host", plugin_host)):
        command += [option, value] if value is not None else []
    os.execv(sys.executable, command)


def backup(
    copy: Annotated[Path, typer.Argument(help="A new or empty folder, which is then a --home of its own.")],
    home: Home = None,
) -> None:
    """Copy everything that is kept, also while an engine works on it."""
    command = [sys.executable, "-P", "-m", "neunets_engine.backup", str(home or default_home()), str(copy)]
    os.execv(sys.executable, command)


def doctor(home: Home = None, as_json: Json = False) -> None:
    """Tell what this machine can train with, and what is missing."""
    checks = examine(home or default_home())
    table = Table("check", "found", "")
    for check in checks:
        table.add_row(check.name, check.found, "" if check.is_fine else f"[red]{check.fix}")
    rows = [{"check": c.name, "found": c.found, "ok": c.is_fine, "fix": c.fix} for c in checks]
    show(table, rows, as_json)
    if not all(check.is_fine for check in checks):
        raise typer.Exit(FAILED)
