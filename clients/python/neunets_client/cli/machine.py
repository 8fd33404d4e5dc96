"""This machine: an engine in the foreground with `up`, its `synthesizers`, and what `doctor` finds."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from rich.table import Table

from neunets_client.cli.codes import FAILED
from neunets_client.cli.options import Home, Json, Server
from neunets_client.cli.show import show
from neunets_client.client import Client
from neunets_client.connection import Connection, default_home
from neunets_client.doctor import examine

__all__ = ["doctor", "synthesizers", "up"]


def up(
    listen: Annotated[str, typer.Option(help="Address of the service API.")] = "127.0.0.1:7390",
    plugin: Annotated[list[str] | None, typer.Option(help="NAME=COMMAND of a synthesizer under development.")] = None,
    home: Home = None,
) -> None:
    """Run an engine in the foreground; unfinished runs go on."""
    folder = home or default_home()
    command = [sys.executable, "-m", "neunets_engine", "--home", str(folder), "--listen", listen]
    command += [word for entry in plugin or () for word in ("--plugin", entry)]
    os.execv(sys.executable, command)


def synthesizers(server: Server = None, home: Home = None, as_json: Json = False) -> None:
    """List the search algorithms."""
    table = Table("name", "version", "state", "summary")
    listed = []
    with Connection(server, home or default_home()) as connection:
        for info in Client(connection).synthesizers():
            row = {"name": info.name, "version": info.description.version, "state": info.state}
            table.add_row(*row.values(), info.description.summary)
            listed.append(row | {"summary": info.description.summary})
    show(table, listed, as_json)


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
