"""Runs that are there: `runs`, `watch`, `budget`, `stop`, `delete`."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.table import Column, Table

from neunets.service.v1 import service_pb2
from neunets_client.budget import seconds
from neunets_client.cli.options import Home, Json, Server, run_name
from neunets_client.cli.show import err, show
from neunets_client.client import Client
from neunets_client.connection import Connection, default_home
from neunets_client.states import run_state
from neunets_client.view import follow

__all__ = ["budget", "delete", "runs", "stop", "watch"]

# Run ids are there to be copied, on narrow terminals too.
RUN_ID_WIDTH: Final = 22


def runs(
    filter: Annotated[  # noqa: A002
        str, typer.Option(help="FIELD = VALUE, joined by AND, of state, synthesizer, dataset.")
    ] = "",
    server: Server = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the runs, newest first."""
    table = Table(Column("run", min_width=RUN_ID_WIDTH), "state", "data", "best", "trials", "seconds")
    listed = []
    with Connection(server, home or default_home()) as connection:
        for run in Client(connection).runs(filter):
            best = f"{run.best_metric:.4f}" if run.HasField("best_metric") else ""
            row = (run.name.removeprefix("runs/"), run_state(run), run.spec.dataset[9:17], best)
            table.add_row(*row, str(run.trials_ended), f"{run.wall_s:.0f}")
            listed.append({"run": row[0], "state": row[1], "best": run.best_metric, "wall_s": run.wall_s})
    show(table, listed, as_json)


def watch(run: str, server: Server = None, home: Home = None) -> None:
    """Follow a run until it ends."""
    with Connection(server, home or default_home()) as connection:
        follow(Client(connection).watch(run_name(run)), err())


def budget(
    run: str,
    wall: Annotated[str | None, typer.Option(help="The whole time from now on: 90s, 5m, 1h30m.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Networks to train, of the search.")] = None,
    server: Server = None,
    home: Home = None,
) -> None:
    """Change what a run may spend, while it searches."""
    with Connection(server, home or default_home()) as connection:
        wall_s = None if wall is None else seconds(wall, "--wall")
        changed = Client(connection).update_budget(run_name(run), wall_s=wall_s, trials=trials).spec
    limits = [f"{changed.wall_s:g} s"] if changed.HasField("wall_s") else []
    limits += [f"{changed.trials} trials"] if changed.HasField("trials") else []
    print(f"{run} may spend {' and '.join(limits)}")


def delete(run: str, server: Server = None, home: Home = None) -> None:
    """Forget a run that has ended, with its networks and files."""
    with Connection(server, home or default_home()) as connection:
        Client(connection).delete(run_name(run))
    print(f"{run} is deleted")


def stop(
    run: str,
    abort: Annotated[bool, typer.Option("--abort", help="Without exporting the best network so far.")] = False,
    server: Server = None,
    home: Home = None,
) -> None:
    """End a run now; its best network so far is exported."""
    mode = service_pb2.StopRunRequest.MODE_ABORT if abort else service_pb2.StopRunRequest.MODE_FINISH
    with Connection(server, home or default_home()) as connection:
        client = Client(connection)
        client.stop(run_name(run), mode)
        follow(client.watch(run_name(run)), err())
        print(f"{run} is {run_state(client.get(run_name(run)))}")
