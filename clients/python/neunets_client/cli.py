"""The command line; `CODES` has its exit codes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, NoReturn, cast

import typer
from rich.console import Console
from rich.table import Column, Table

from neunets.errors import (
    IllegalTransition,
    InvalidGraph,
    InvalidRequest,
    NeunetsError,
    NotFound,
    NotReady,
    UnsupportedProblem,
)
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_client.budget import seconds
from neunets_client.client import Client
from neunets_client.connection import Connection, default_home
from neunets_client.doctor import examine
from neunets_client.outcome import outcome_of
from neunets_client.predict import predict as run_model
from neunets_client.view import follow

__all__ = ["main"]

OK, FAILED, REFUSED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130
REFUSALS: Final = (InvalidRequest, InvalidGraph, NotFound, IllegalTransition, UnsupportedProblem)
# What typer raises for a wrong word: click's class, or that of the click within typer, by typer's version.
UsageError: Final = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])
# Between the end of a run and the end of the command: download, and the engine's own end.
CLOSING_S: Final = 1.0
# The second as the engine wants it; refused here in the words of the user's option.
SHORTEST_BUDGET_S, SHORTEST_RUN_S = 10.0, 5.0
# Run ids are there to be copied, on narrow terminals too.
RUN_ID_WIDTH: Final = 22

CODES: Final = (
    "Exit codes: 0 done; 1 run failed or paused; 2 refused input; 3 no engine answers; 130 interrupted, resumable."
)

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Design and train a neural network for your data.", epilog=CODES
)
Server = Annotated[str | None, typer.Option(help="Address of a running engine; by default an embedded one.")]
Home = Annotated[Path | None, typer.Option(help="Folder of the embedded engine; also NEUNETS_HOME.")]
Json = Annotated[bool, typer.Option("--json", help="The last line on stdout is one JSON object.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the splits, the candidates and the trainings.")]


@app.command()
def synthesize(
    data: Annotated[str, typer.Argument(help="Folder of classes or idx files, .npz file, or digits.")],
    budget: Annotated[str | None, typer.Option(help="Wall time of search, training and export: 5m, 1h30m.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Candidates to train.")] = None,
    synthesizer: Annotated[str, typer.Option(help="Search algorithm.")] = "random",
    max_params: Annotated[str | None, typer.Option(help="Largest network: 50000, 50k, 2M.")] = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for the model; by default neunets-RUN.")] = None,
    server: Server = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Search, train and export a network for DATA."""
    began = time.monotonic()
    budget_s = seconds(budget) if budget is not None else None
    if budget_s is None and trials is None:
        raise InvalidRequest("--budget", "give a time, such as --budget 5m, or a number of candidates with --trials")
    if budget_s is not None and budget_s < SHORTEST_BUDGET_S:
        raise InvalidRequest("--budget", f"{budget}: at least {SHORTEST_BUDGET_S:g} s are needed")
    most = _count(max_params) if max_params is not None else None
    _check_folder(out)
    source = str(Path(data).resolve()) if Path(data).exists() else data
    with Connection(server, home or default_home()) as connection:
        client = Client(connection)
        dataset = client.register(source, seed)
        _tell(dataset)
        left_s = None if budget_s is None else _left_s(budget_s, time.monotonic() - began)
        run = client.create(
            dataset.name, synthesizer=synthesizer, wall_s=left_s, trials=trials, max_params=most, seed=seed
        )
        connection.take_up = run.name.removeprefix("runs/")
        finished, folder = _follow(client, run.name, out, _where(server, home))
        model = client.model(finished.model) if finished.model else None
    path = folder / "model.onnx" if folder is not None else None
    _conclude(finished, model, path, time.monotonic() - began, budget_s, as_json)


@app.command()
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


@app.command()
def runs(server: Server = None, home: Home = None, as_json: Json = False) -> None:
    """List the runs, newest first."""
    table = Table(Column("run", min_width=RUN_ID_WIDTH), "state", "data", "best", "trials", "seconds")
    listed = []
    with Connection(server, home or default_home()) as connection:
        for run in Client(connection).runs():
            best = f"{run.best_metric:.4f}" if run.HasField("best_metric") else ""
            row = (run.name.removeprefix("runs/"), _state(run), run.spec.dataset[9:17], best)
            table.add_row(*row, str(run.trials_ended), f"{run.wall_s:.0f}")
            listed.append({"run": row[0], "state": row[1], "best": run.best_metric, "wall_s": run.wall_s})
    _show(table, listed, as_json)


@app.command()
def watch(run: str, server: Server = None, home: Home = None) -> None:
    """Follow a run until it ends."""
    with Connection(server, home or default_home()) as connection:
        follow(Client(connection).watch(_run_name(run)), _err())


@app.command()
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
        client.stop(_run_name(run), mode)
        follow(client.watch(_run_name(run)), _err())
        print(f"{run} is {_state(client.get(_run_name(run)))}")


@app.command()
def resume(
    run: str,
    out: Annotated[Path | None, typer.Option(help="Folder for the model; by default neunets-RUN.")] = None,
    server: Server = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Go on with a run that was interrupted or paused."""
    name = _run_name(run)
    _check_folder(out)
    with Connection(server, home or default_home(), take_up=name.removeprefix("runs/")) as connection:
        client = Client(connection)
        client.resume(name)
        finished, folder = _follow(client, name, out, _where(server, home))
        model = client.model(finished.model) if finished.model else None
    path = folder / "model.onnx" if folder is not None else None
    budget_s = finished.spec.wall_s if finished.spec.HasField("wall_s") else None
    _conclude(finished, model, path, finished.wall_s, budget_s, as_json)


@app.command()
def models(run: str, server: Server = None, home: Home = None, as_json: Json = False) -> None:
    """List the networks that a run has trained."""
    table = Table("trial", "candidate", "parameters", "state", "validation", "final")
    listed = []
    with Connection(server, home or default_home()) as connection:
        for model in Client(connection).models(_run_name(run)):
            accuracy = model.result.metrics.get("valid_accuracy", float("nan"))
            state = _trial_state(model)
            final = "yes" if model.final else ""
            table.add_row(model.trial, model.candidate, f"{model.params:,}", state, f"{accuracy:.4f}", final)
            row = {"trial": model.trial, "candidate": model.candidate, "params": model.params, "state": state}
            listed.append(row | {"validation": accuracy if accuracy == accuracy else None, "final": model.final})
    _show(table, listed, as_json)


@app.command()
def export(
    run: str,
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    server: Server = None,
    home: Home = None,
) -> None:
    """Write a finished run's ONNX model, weights and card."""
    _check_folder(out)
    with Connection(server, home or default_home()) as connection:
        client = Client(connection)
        found = client.get(_run_name(run))
        if not found.model:
            raise InvalidRequest("run", f"{run} is {_state(found)} and has no exported model")
        for path in client.download(found.model, out):
            print(path)


@app.command()
def synthesizers(server: Server = None, home: Home = None, as_json: Json = False) -> None:
    """List the search algorithms."""
    table = Table("name", "version", "state", "summary")
    listed = []
    with Connection(server, home or default_home()) as connection:
        for info in Client(connection).synthesizers():
            row = {"name": info.name, "version": info.description.version, "state": info.state}
            table.add_row(*row.values(), info.description.summary)
            listed.append(row | {"summary": info.description.summary})
    _show(table, listed, as_json)


@app.command()
def predict(model: Path, files: list[Path], as_json: Json = False) -> None:
    """Classify FILES (images, or .npy arrays) with an exported model."""
    predictions = list(run_model(model, files))
    if as_json:
        rows = [{"file": str(p.file), "label": p.label, "probability": p.probability} for p in predictions]
        print(json.dumps(rows))
        return
    for prediction in predictions:
        print(f"{prediction.file}\t{prediction.label}\t{prediction.probability:.4f}")


@app.command()
def doctor(home: Home = None, as_json: Json = False) -> None:
    """Tell what this machine can train with, and what is missing."""
    checks = examine(home or default_home())
    table = Table("check", "found", "")
    for check in checks:
        table.add_row(check.name, check.found, "" if check.is_fine else f"[red]{check.fix}")
    rows = [{"check": c.name, "found": c.found, "ok": c.is_fine, "fix": c.fix} for c in checks]
    _show(table, rows, as_json)
    if not all(check.is_fine for check in checks):
        raise typer.Exit(FAILED)


def _left_s(budget_s: float, used_s: float) -> float:
    """Of a budget, for the run itself."""
    left_s = budget_s - used_s - CLOSING_S
    if left_s < SHORTEST_RUN_S:
        text = (
            f"{budget_s:g} s are too few: reading the data took {used_s:.0f} s, give {used_s + SHORTEST_BUDGET_S:.0f} s"
        )
        raise InvalidRequest("--budget", text)
    return left_s


def _where(server: str | None, home: Path | None) -> str:
    """The options that lead another command to the same engine."""
    return f" --server {server}" if server else f" --home {shlex.quote(str(home))}" if home else ""


def _follow(client: Client, name: str, out: Path | None, where: str) -> tuple[service_pb2.Run, Path | None]:
    """Show the run until it ends; returns it, and the folder of its model."""
    run_id = name.removeprefix("runs/")
    try:
        follow(client.watch(name), _err())
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C shall not tear the engine's end
        command, state = ("watch", "the server goes on") if "--server" in where else ("resume", "interrupted")
        print(f"\n{state}; come back with: neunets {command} {run_id}{where}", file=sys.stderr)
        raise
    run = client.get(name)
    if not run.model:
        return run, None
    folder = out or Path(f"neunets-{run_id}")
    client.download(run.model, folder)
    return run, folder.resolve()


def _conclude(
    run: service_pb2.Run,
    model: service_pb2.Model | None,
    path: Path | None,
    wall_s: float,
    budget_s: float | None,
    as_json: bool,
) -> None:
    outcome = outcome_of(run, model, path, wall_s, budget_s)
    if path is not None and not as_json:
        print(f"model      {path}")
        print(f"accuracy   {outcome.test or 0:.4f} on the test set, {outcome.validation or 0:.4f} on validation")
        print(f"size       {outcome.model_bytes or 0:,} bytes, {outcome.params or 0:,} parameters")
        print(f"latency    {outcome.latency_ms or 0:.3f} ms for one example on one thread")
        print(f"use it     neunets predict {path} FILE…")
    if as_json:
        print(outcome.to_json())
    if outcome.state not in ("COMPLETED", "STOPPED"):
        print(f"{outcome.run} is {outcome.state}: {run.reason}", file=sys.stderr)
        raise typer.Exit(FAILED)


def _tell(dataset: service_pb2.Dataset) -> None:
    held_out = ", held out of the data" if dataset.test_held_out else ""
    print(
        f"{dataset.source}: {len(dataset.classes)} classes, {dataset.train_rows:,} examples to train, "
        f"{dataset.valid_rows:,} to validate, {dataset.test_rows:,} to test{held_out}",
        file=sys.stderr,
    )
    for warning in dataset.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _count(text: str) -> int:
    """Of "50000", "50k" or "2M"."""
    factors = {"k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
    number, factor = (text[:-1], factors[text[-1].lower()]) if text[-1:].lower() in factors else (text, 1)
    try:
        count = int(float(number) * factor)
    except (ValueError, OverflowError):
        raise InvalidRequest("--max-params", f"{text!r} is no number: write 50000, 50k or 2M") from None
    if count < 1:
        raise InvalidRequest("--max-params", "at least 1 parameter is needed")
    return count


def _check_folder(out: Path | None) -> None:
    """Whether a model could be written, before anything is trained."""
    if out is None:
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequest("--out", f"{out} cannot be made a folder: {error.strerror}") from error
    if not os.access(out, os.W_OK):
        raise InvalidRequest("--out", f"{out} cannot be written to")


def _run_name(run: str) -> str:
    return run if run.startswith("runs/") else f"runs/{run}"


def _state(run: service_pb2.Run) -> str:
    return service_pb2.RunState.Name(run.state).removeprefix("RUN_STATE_")


def _trial_state(model: service_pb2.Model) -> str:
    """How the trial ended, once it has."""
    if model.HasField("result"):
        return synthesizer_pb2.TrialEnded.State.Name(model.result.state).removeprefix("STATE_")
    return service_pb2.TrialState.Name(model.state).removeprefix("TRIAL_STATE_")


def _show(table: Table, rows: Sequence[Mapping[str, object]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows))
    else:
        Console().print(table)


def _err() -> Console:
    return Console(stderr=True)


def main() -> NoReturn:
    """The entry point; every refusal is one sentence on stderr."""
    try:
        code = app(standalone_mode=False)
    except REFUSALS as error:
        _exit(error.message, REFUSED)
    except NotReady as error:
        _exit(error.message, UNREACHABLE)
    except NeunetsError as error:
        _exit(error.message, FAILED)
    except UsageError as error:
        _exit(error.format_message(), REFUSED)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(OK)
    sys.exit(code if isinstance(code, int) else OK)


def _exit(text: str, code: int) -> NoReturn:
    print(" ".join(text.split()), file=sys.stderr)
    sys.exit(code)
