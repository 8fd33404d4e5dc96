"""The commands in the order of the help, and what a refusal becomes: one sentence and an exit code."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Annotated, Final, NoReturn, cast

import typer

from neunets.errors import (
    IllegalTransition,
    InvalidGraph,
    InvalidRequest,
    NeunetsError,
    NotFound,
    NotReady,
    UnsupportedProblem,
)
from neunets.sentences import printable
from neunets_client.cli.codes import CODES, FAILED, INTERRUPTED, OK, REFUSED, UNREACHABLE
from neunets_client.cli.data import inspect
from neunets_client.cli.machine import backup, doctor, up
from neunets_client.cli.models import compare, export, lineage, models, pick, predict
from neunets_client.cli.runs import budget, delete, runs, stop, watch
from neunets_client.cli.surroundings import adapt
from neunets_client.cli.synthesis import resume, synthesize
from neunets_client.cli.synthesizers import synthesizers

__all__ = ["main"]

COMMANDS: Final = (
    inspect,
    synthesize,
    up,
    runs,
    watch,
    budget,
    stop,
    resume,
    delete,
    models,
    lineage,
    compare,
    pick,
    export,
    predict,
    backup,
    doctor,
)
REFUSALS: Final = (InvalidRequest, InvalidGraph, NotFound, IllegalTransition, UnsupportedProblem)
# What typer raises for a wrong word: click's class, or that of the click within typer, by typer's version.
UsageError: Final = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"neunets {metadata.version('neunets')}")
        raise typer.Exit


def build() -> typer.Typer:
    app = typer.Typer(
        callback=version,
        invoke_without_command=True,
        add_completion=False,
        no_args_is_help=True,
        help="Design and train a neural network for your data.",
        epilog=CODES,
    )
    for command in COMMANDS:
        app.command()(command)
    app.add_typer(synthesizers, name="synthesizers")
    return app


def version(
    is_asked: Annotated[
        bool,
        typer.Option("--version", "-V", is_eager=True, callback=_print_version, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """The entry point; every refusal is one sentence on stderr."""
    try:
        adapt()
        code = build()(standalone_mode=False)
    except REFUSALS as error:
        _exit(error.message, REFUSED)
    except NotReady as error:
        _exit(error.message, UNREACHABLE)
    except NeunetsError as error:
        _exit(error.message, FAILED)
    except UsageError as error:
        _exit(error.format_message(), REFUSED)
    except UnicodeEncodeError as error:
        _exit(f"{error.object!a} is no text in UTF-8, so that no engine can take it: choose another name", REFUSED)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(OK)
    sys.exit(code if isinstance(code, int) else OK)


def _exit(text: str, code: int) -> NoReturn:
    print(printable(" ".join(text.split())), file=sys.stderr)
    sys.exit(code)
