"""`neunets synthesizers`: which search algorithms there are, whether they conform, and from where they come."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from neunets.sentences import printable
from neunets.service.v1 import service_pb2
from neunets_client.budget import seconds
from neunets_client.cli.codes import FAILED
from neunets_client.cli.options import Home, Json, Server, check_folder
from neunets_client.cli.show import show
from neunets_client.client import Client
from neunets_client.connection import Connection, default_home

__all__ = ["synthesizers"]

OUTCOMES = {
    service_pb2.CheckOutcome.OUTCOME_PASSED: "ok",
    service_pb2.CheckOutcome.OUTCOME_FAILED: "FAILED",
    service_pb2.CheckOutcome.OUTCOME_SKIPPED: "skipped",
}

synthesizers = typer.Typer(help="List the search algorithms; check, drain or enroll one.", invoke_without_command=True)


@synthesizers.callback()
def listed(context: typer.Context, server: Server = None, home: Home = None, as_json: Json = False) -> None:
    if context.invoked_subcommand is not None:
        return
    table = Table("name", "version", "state", "conformance", "summary")
    rows = []
    with Connection(server, home or default_home()) as connection:
        for info in Client(connection).synthesizers():
            row = {"name": info.name, "version": info.description.version, "state": info.state}
            row["conformance"] = info.conformance.summary.partition(",")[0] or "not checked"
            table.add_row(*(Text(printable(str(value))) for value in (*row.values(), info.description.summary)))
            rows.append(row | {"summary": info.description.summary})
    show(table, rows, as_json)


@synthesizers.command()
def check(
    name: str,
    level: Annotated[str, typer.Option(help="core, or recovery, which includes it and takes minutes.")] = "core",
    server: Server = None,
    home: Home = None,
) -> None:
    """Test one against the contract; the result is kept with its version."""

    def tell(outcome: service_pb2.CheckOutcome) -> None:
        print(f"{OUTCOMES.get(outcome.outcome, '?'):8}{outcome.id}", flush=True)
        if outcome.outcome == service_pb2.CheckOutcome.OUTCOME_FAILED:
            reason = "\n".join(map(printable, outcome.reason.splitlines()))
            print(f"        {outcome.law}\n        {reason}", flush=True)

    with Connection(server, home or default_home()) as connection:
        result = Client(connection).check(name, level, tell=tell)
    print(printable(result.summary))
    if not result.conformant:
        raise typer.Exit(FAILED)


@synthesizers.command()
def drain(
    name: str,
    resume: Annotated[bool, typer.Option("--resume", help="Give it runs again.")] = False,
    server: Server = None,
    home: Home = None,
) -> None:
    """Give one no new runs; its process ends with its last run."""
    with Connection(server, home or default_home()) as connection:
        info = Client(connection).drain(name, resume=resume)
    print(f"{name} is {info.state}, with {info.open_runs} open runs")


@synthesizers.command()
def enroll(
    name: str,
    out: Annotated[Path, typer.Option(help="Folder for its token and certificate.")],
    life: Annotated[str, typer.Option(help="Of the token, until it is used.")] = "1h",
    server: Server = None,
    home: Home = None,
) -> None:
    """Let one in that runs on another host."""
    check_folder(out)
    with Connection(server, home or default_home()) as connection:
        answer = Client(connection).enroll(name, seconds(life, "--life"))
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file, data in {**answer.files, "token": answer.token.encode(), "host": answer.host.encode()}.items():
        with os.fdopen(os.open(out / file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
            opened.write(data)
    print(f"carry {out} to the other host, and start the synthesizer there with")
    print(f"NEUNETS_ENROLMENT={out.name} NEUNETS_LISTEN=0.0.0.0:7400 NEUNETS_ENDPOINT=ITS-ADDRESS:7400 COMMAND")
