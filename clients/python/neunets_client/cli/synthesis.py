"""A synthesis from its data to its model on disk: `synthesize`, and `resume` of one that was interrupted."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from neunets.errors import InvalidRequest
from neunets.sentences import printable
from neunets.service.v1 import service_pb2
from neunets_client.budget import SHORTEST_BUDGET_S, left_s, seconds
from neunets_client.cli.codes import FAILED
from neunets_client.cli.options import (
    MIRRORS,
    Fit,
    FitOption,
    Home,
    ImageColumn,
    ImageSize,
    Json,
    LabelColumn,
    Metric,
    MetricOption,
    Mirror,
    MirrorOption,
    Seed,
    Server,
    SkipUnreadable,
    check_folder,
    count,
    run_name,
    settings_of,
)
from neunets_client.cli.show import err, reading_options, register
from neunets_client.cli.surroundings import ignore_signals
from neunets_client.client import Client
from neunets_client.connection import Connection, default_home
from neunets_client.foresight import Foresight
from neunets_client.outcome import outcome_of
from neunets_client.view import follow

__all__ = ["resume", "synthesize"]


def synthesize(
    data: Annotated[str, typer.Argument(help="Folder of classes; .npz, .csv, .parquet file; NAME:FOLDER; digits.")],
    budget: Annotated[str | None, typer.Option(help="Wall time of search, training and export: 5m, 1h30m.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Candidates to train.")] = None,
    synthesizer: Annotated[str, typer.Option(help="Search algorithm.")] = "random",
    setting: Annotated[
        list[str] | None, typer.Option("--setting", help="NAME=VALUE, of the search algorithm; again for each.")
    ] = None,
    max_params: Annotated[str | None, typer.Option(help="Largest network: 50000, 50k, 2M.")] = None,
    metric: MetricOption = Metric.ACCURACY,
    mirror: MirrorOption = Mirror.AUTO,
    train_on_validation: Annotated[
        bool, typer.Option("--train-on-validation", help="Train the final network on the validation examples, too.")
    ] = False,
    image_size: ImageSize = None,
    image_fit: FitOption = Fit.STRETCH,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    skip_unreadable: SkipUnreadable = False,
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
    most, settings = count(max_params) if max_params is not None else None, settings_of(setting or [])
    options = reading_options(image_size, image_fit, image_column, label_column, skip_unreadable)
    check_folder(out)
    with Connection(server, home or default_home()) as connection:
        client = Client(connection)
        foresight = Foresight(budget_s, "--budget", lambda: time.monotonic() - began)
        dataset = register(client, data, seed, options, foresight)
        wall_s = None if budget_s is None else left_s(budget_s, time.monotonic() - began)
        run = client.create(
            dataset.name,
            synthesizer=synthesizer,
            settings=settings,
            wall_s=wall_s,
            trials=trials,
            max_params=most,
            seed=seed,
            mirror=MIRRORS[mirror],
            train_on_validation=train_on_validation,
            metric=f"valid_{metric.replace('-', '_')}",
        )
        connection.take_up = run.name.removeprefix("runs/")
        finished, folder = _follow(client, run.name, out, _where(server, home))
        model = client.model(finished.model) if finished.model else None
    path = folder / "model.onnx" if folder is not None else None
    _conclude(finished, model, path, time.monotonic() - began, budget_s, as_json)


def resume(
    run: str,
    out: Annotated[Path | None, typer.Option(help="Folder for the model; by default neunets-RUN.")] = None,
    server: Server = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Go on with a run that was interrupted or paused."""
    name = run_name(run)
    check_folder(out)
    with Connection(server, home or default_home(), take_up=name.removeprefix("runs/")) as connection:
        client = Client(connection)
        client.resume(name)
        finished, folder = _follow(client, name, out, _where(server, home))
        model = client.model(finished.model) if finished.model else None
    path = folder / "model.onnx" if folder is not None else None
    budget_s = finished.spec.wall_s if finished.spec.HasField("wall_s") else None
    _conclude(finished, model, path, finished.wall_s, budget_s, as_json)


def _where(server: str | None, home: Path | None) -> str:
    """The options that lead another command to the same engine."""
    return f" --server {server}" if server else f" --home {shlex.quote(str(home))}" if home else ""


def _follow(client: Client, name: str, out: Path | None, where: str) -> tuple[service_pb2.Run, Path | None]:
    """Show the run until it ends; returns it, and the folder of its model."""
    run_id = name.removeprefix("runs/")
    try:
        follow(client.watch(name), err())
    except KeyboardInterrupt:
        ignore_signals()
        command, state = ("watch", "the server goes on") if "--server" in where else ("resume", "interrupted")
        with suppress(OSError):  # the terminal may be gone
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
        print(f"{outcome.run} is {outcome.state}: {printable(run.reason)}", file=sys.stderr)
        raise typer.Exit(FAILED)
