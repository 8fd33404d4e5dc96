"""A synthesis in one call, for scripts and notebooks."""

from __future__ import annotations

import html
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from neunets.errors import IllegalTransition, InvalidRequest
from neunets.service.v1 import service_pb2
from neunets_client.budget import SHORTEST_BUDGET_S, left_s, seconds
from neunets_client.calls import ImageFit, ReadingOptions
from neunets_client.client import Client
from neunets_client.connection import Connection
from neunets_client.foresight import Foresight
from neunets_client.frames import trials_frame
from neunets_client.interruptible import Interruptible
from neunets_client.predict import Example, Predictions, predict_all
from neunets_client.progress import Progress, SynthesisView
from neunets_client.saving import check_folder
from neunets_client.source import source_of
from neunets_client.states import run_state

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Synthesis", "synthesize"]

MIRRORS: Final = {
    None: service_pb2.RunSpec.MIRROR_UNSPECIFIED,
    True: service_pb2.RunSpec.MIRROR_YES,
    False: service_pb2.RunSpec.MIRROR_NO,
}


@dataclass(frozen=True, slots=True)
class Synthesis:
    """What a finished run leaves; it needs no engine any more.

    `figures` are of the exported file: "test_accuracy", "valid_accuracy", "latency_ms", "model_bytes", …; accuracies in
    0..1. `state`: "COMPLETED", or "STOPPED" for one that was interrupted.
    """

    run: str  # "runs/ID"
    state: str
    model: Path  # the ONNX file; card, weights and pictures lie beside it
    figures: Mapping[str, float]
    params: int
    classes: tuple[str, ...]
    wall_s: float  # of the whole call
    models: tuple[service_pb2.Model, ...] = field(repr=False)

    @property
    def test_accuracy(self) -> float:
        return self.figures["test_accuracy"]

    @property
    def valid_accuracy(self) -> float:
        return self.figures["valid_accuracy"]

    @property
    def card(self) -> str:
        """The model card, as Markdown."""
        return (self.model.parent / "card.md").read_text(encoding="utf-8")

    def predict(self, images: Example | Iterable[Example]) -> Predictions:
        """See `predict_all`."""
        return predict_all(self.model, images)

    def trials(self) -> pd.DataFrame:
        """See `trials_frame`."""
        return trials_frame(self.models)

    def _repr_html_(self) -> str:
        rows = {
            "test accuracy": f"{self.test_accuracy:.4f}",
            "validation accuracy": f"{self.valid_accuracy:.4f}",
            "parameters": f"{self.params:,}",
            "size": f"{self.figures.get('model_bytes', 0.0):,.0f} bytes",
            "latency": f"{self.figures.get('latency_ms', 0.0):.3f} ms",
            "time": f"{self.wall_s:.0f} s",
            "run": f"{self.run.removeprefix('runs/')}, {self.state.lower()}",
            "model": str(self.model),
        }
        cells = "".join(f"<tr><th>{name}</th><td>{html.escape(value)}</td></tr>" for name, value in rows.items())
        curve = self.model.parent / "curve.svg"
        drawing = curve.read_text(encoding="utf-8") if curve.exists() else ""
        return f"<div><table>{cells}</table>{drawing}</div>"


def synthesize(
    data: str | Path,
    budget: str | float | None = "10m",
    *,
    trials: int | None = None,
    synthesizer: str = "random",
    settings: Mapping[str, object] | None = None,
    metric: str | None = None,
    max_params: int | None = None,
    mirror: bool | None = None,
    train_on_validation: bool = False,
    image_size: int | tuple[int, int] | None = None,
    image_fit: ImageFit = "stretch",
    image_column: str | None = None,
    label_column: str | None = None,
    skip_unreadable: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    server: str | None = None,
    home: str | Path | None = None,
    progress: Progress = "auto",
) -> Synthesis:
    """Search, train and export a network for `data`: what `neunets synthesize` does, and takes.

    `budget`: "90s", "10m", "1h30m", or seconds, for the whole call; None: `trials` alone end the search. `metric`:
    "accuracy" (default), "balanced_accuracy", "macro_f1". `mirror`: whether mirrored images keep their class; None: it
    is measured. `image_size`: of all images, of a square or (height, width); None: chosen from theirs. `image_fit`: how
    images of another aspect are brought to it: "stretch", "pad" with black, or "crop" to the middle. `image_column`,
    `label_column`: of a table; None: known by common names. `skip_unreadable`: images that cannot be read are left out,
    with a warning. `out`: folder of the model, by default neunets-RUN. Without `server` an engine is started, and ends
    with its last user. An interrupt
    (Ctrl-C, or a notebook's stop button) takes the best network so far; a second one leaves the run as it is, to be
    resumed. Raises: InvalidRequest; IllegalTransition where the run has come to no model.
    """
    began = time.monotonic()
    budget_s = _budget_s(budget, trials)
    foresight = Foresight(budget_s, "budget", lambda: time.monotonic() - began)
    source = source_of(data, "data")
    check_folder(Path(out) if out is not None else None, "out")
    with SynthesisView(progress) as view, Connection(server, home) as connection:
        client = Client(connection)

        def tell(reading: service_pb2.ReadProgress) -> None:
            view.read(reading)
            foresight.tell(reading)

        options = ReadingOptions(
            image_size=image_size,
            image_fit=image_fit,
            image_column=image_column,
            label_column=label_column,
            skip_unreadable=skip_unreadable,
        )
        dataset = client.register(source, seed, tell=tell, **options)
        for warning in dataset.warnings:
            view.say(f"warning: {warning}")
        run = client.create(
            dataset.name,
            synthesizer=synthesizer,
            settings=settings,
            wall_s=None if budget_s is None else left_s(budget_s, time.monotonic() - began, "budget"),
            trials=trials,
            max_params=max_params,
            seed=seed,
            mirror=MIRRORS[mirror],
            train_on_validation=train_on_validation,
            metric="" if metric is None else f"valid_{metric.removeprefix('valid_').replace('-', '_')}",
        )
        connection.take_up = run.name.removeprefix("runs/")
        _follow(client, run.name, view)
        finished = client.get(run.name)
        if not finished.model:
            state = run_state(finished)
            raise IllegalTransition(f"{run.name} is {state} and has no model: {finished.reason}", state=state)
        folder = Path(out) if out is not None else Path(f"neunets-{run.name.removeprefix('runs/')}")
        client.download(finished.model, folder)
        models = tuple(client.models(run.name))
        model = client.model(finished.model)
    return Synthesis(
        run=run.name,
        state=run_state(finished),
        model=folder.resolve() / "model.onnx",
        figures=dict(model.figures),
        params=model.params,
        classes=tuple(dataset.classes),
        wall_s=time.monotonic() - began,
        models=models,
    )


def _follow(client: Client, run: str, view: SynthesisView) -> None:
    """Show the run until it ends; an interrupt has it end with the best so far."""
    watched, is_stopping = Interruptible(client.watch(run)), False
    while True:
        try:
            for response in watched:
                view.take(response)
            return
        except KeyboardInterrupt:
            if is_stopping:
                raise
            is_stopping = True
            view.say("interrupted: the best network so far is exported; interrupt again to leave the run as it is")
            with suppress(IllegalTransition):  # it was ending already
                client.stop(run)


def _budget_s(budget: str | float | None, trials: int | None) -> float | None:
    if budget is None:
        if trials is None:
            raise InvalidRequest("budget", "give a time, such as '5m', or a number of candidates with trials=")
        return None
    budget_s = seconds(str(budget), "budget")
    if budget_s < SHORTEST_BUDGET_S:
        raise InvalidRequest("budget", f"{budget}: at least {SHORTEST_BUDGET_S:g} s are needed")
    return budget_s
