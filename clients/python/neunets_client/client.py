"""The engine's service API in Python's words."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, Unpack

import grpc

from neunets.errors import NeunetsError, NotReady, PluginUnavailable
from neunets.graph import Graph
from neunets.graph.v1 import graph_pb2
from neunets.service.v1 import service_pb2
from neunets.status import rpc_error
from neunets.synthesizer import Recipe
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_client import calls, feeds
from neunets_client.attempts import Attempts, Patience
from neunets_client.calls import Call, Page, RunOptions
from neunets_client.connection import Connection
from neunets_client.family import Relative, elder_of, relatives, winner_of
from neunets_client.feeds import Feed
from neunets_client.frames import trials_frame
from neunets_client.saving import saving

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Client", "connect", "told"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Client:
    """Raises what the engine raised: `NeunetsError` and its subclasses. What may pass is tried again, see `attempts`.

    Names of runs and models are those of the service: "runs/ID", "runs/ID/models/TRIAL".
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rng = random.Random()

    def register(
        self,
        source: str,
        seed: int = 0,
        *,
        tell: Callable[[service_pb2.ReadProgress], None] | None = None,
        **options: Unpack[calls.ReadingOptions],
    ) -> service_pb2.Dataset:
        """`source`: a path on the engine's machine, "digits", or NAME:FOLDER of data that torchvision has left there.

        `tell` is called with every progress, at least once a second; what it raises ends the reading.
        """
        request = calls.reading(source, seed, options)
        dataset = service_pb2.Dataset()
        with closing(self._follow(feeds.Reading(request))) as responses:  # where `tell` raises, reading ends
            for response in responses:
                if response.HasField("dataset"):
                    dataset = response.dataset
                elif tell is not None:
                    tell(response.progress)
        return dataset

    def dataset(self, name: str) -> service_pb2.Dataset:
        return self._ask(calls.dataset(name))

    def preview(self, dataset: str, images_a_class: int = 0) -> bytes:
        """A PNG of training images of every class; 0: as many as the engine likes. Raises: UnsupportedProblem."""
        return self._ask(calls.preview(dataset, images_a_class))

    def create(self, dataset: str, **options: Unpack[RunOptions]) -> service_pb2.Run:
        """Start a run; the request's own id makes that happen once, however often it has to be sent."""
        return self._ask(calls.create(dataset, options))

    def get(self, run: str) -> service_pb2.Run:
        return self._ask(calls.get(run))

    def runs(self, filter: str = "", order_by: str = "") -> Iterator[service_pb2.Run]:  # noqa: A002 - the service's name
        """Newest first, or in the order of `order_by` ("create_time").

        `filter`: FIELD = VALUE of `state`, `synthesizer`, `dataset`, joined by AND.
        """
        return self._pages(lambda token: calls.runs(filter, order_by, token))

    def watch(
        self, run: str, after_seq: int = 0, most: int = 0, brief: bool = False
    ) -> Iterator[service_pb2.WatchRunResponse]:
        """Every event of the run after `after_seq`, without gap or repeat, until it is final or paused.

        With `most` above 1 a response may bring so many events, the later ones in `more`, and one comes four times a
        second at most; `brief`: candidates come without their graphs.
        Without events for 15 s a response without one comes. A lost engine is found again, or started again where it
        is embedded. Raises: NotReady where that fails.
        """
        return self._follow(feeds.Watch(run, after_seq, most, brief))

    def wait(self, run: str) -> service_pb2.Run:
        """The run once it is final or paused."""
        for _ in self.watch(run, self.get(run).seq):
            pass
        return self.get(run)

    def stop(
        self,
        run: str,
        mode: service_pb2.StopRunRequest.Mode.ValueType = service_pb2.StopRunRequest.MODE_FINISH,
    ) -> service_pb2.Run:
        """With MODE_FINISH its best network so far is trained and exported; with MODE_ABORT it ends at once."""
        return self._ask(calls.stop(run, mode))

    def resume(self, run: str) -> service_pb2.Run:
        return self._ask(calls.resume(run))

    def update_budget(
        self, run: str, *, wall_s: float | None = None, trials: int | None = None, etag: str = ""
    ) -> service_pb2.Run:
        """The whole budget from now on; None: as it is. An `etag` that is not the run's any more is refused."""
        return self._ask(calls.update_budget(run, wall_s, trials, etag))

    def inject(
        self,
        run: str,
        graph: Graph | graph_pb2.Graph,
        recipe: Recipe | synthesizer_pb2.Recipe | None = None,
        rationale: str = "",
    ) -> str:
        """Have a network of one's own trained as one of the run's trials; returns the model's name.

        Its input is that of the data set, as `dataset` tells it. Raises: InvalidRequest, which names what is wrong.
        """
        return self._ask(calls.inject(run, graph, recipe or Recipe(), rationale))

    def delete(self, run: str, etag: str = "") -> None:
        """Forget a run that has ended or is paused, with its trials, events and files."""
        self._ask(calls.delete(run, etag))

    def models(self, run: str, filter: str = "", order_by: str = "") -> Iterator[service_pb2.Model]:  # noqa: A002
        """The networks that the run has trained, or trains. `filter`: as for runs, of `state`, `final`, `injected`.

        `order_by`: "trial" (default), "trial desc", "metric desc".
        """
        return self._pages(lambda token: calls.models(run, filter, order_by, token))

    def model(self, name: str) -> service_pb2.Model:
        return self._ask(calls.model(name))

    def trials(self, run: str) -> pd.DataFrame:
        """See `trials_frame`."""
        return trials_frame(self.models(run))

    def metrics(self, model: str) -> Sequence[synthesizer_pb2.Measured]:
        """Every measurement of the model's trial so far, oldest first."""
        return self._ask(calls.metrics(model))

    def watch_metrics(self, model: str, after: int = 0) -> Iterator[synthesizer_pb2.Measured]:
        """Those after the first `after`, each once, then new ones until the trial has ended."""
        return self._follow(feeds.Metrics(model, after))

    def compare(self, models: Sequence[str]) -> service_pb2.CompareModelsResponse:
        """Figures of 2..16 models side by side, and how each network differs from the first one's."""
        return self._ask(calls.compare(models))

    def lineage(self, run: str) -> Sequence[Relative]:
        """From which networks the run's best one came: the first of its line, and so on to it.

        Raises: IllegalTransition before a trial has ended.
        """
        line = [self.model(winner_of(self.get(run)))]
        while elder := elder_of(line[-1]):
            line.append(self.model(elder))
        return relatives(reversed(line))

    def pick(self, model: str) -> service_pb2.Model:
        """Make a network of an ended run the run's model, measured on the test set and exported; the model to download.

        Raises: IllegalTransition while the run goes on, or where the trial has left no weights.
        """
        return self._ask(calls.pick(model))

    def export(
        self,
        model: str,
        formats: Sequence[service_pb2.ExportModelRequest.Format.ValueType],
        max_drop: float | None = None,
    ) -> Sequence[service_pb2.Variant]:
        """Have an exported model's other formats made, and measured on its test set, unless they are there.

        One that is less accurate by more than `max_drop`, a fraction (None: the engine's own bound), is refused: it
        says why, and has no file.
        """
        return self._ask(calls.export(model, formats, max_drop)).variants

    def download(self, model: str, folder: str | Path) -> Sequence[Path]:
        """Write all files of an exported model into `folder`; each gets its name once it is whole.

        A lost connection goes on where it was lost. Raises: DamagedFile.
        """
        exported = self._ask(calls.export(model, (), None)).model
        written = []
        for artifact in exported.artifacts:
            with saving(Path(folder), artifact) as file:
                for data in self._follow(feeds.Download(model, artifact.file)):
                    file.write(data)
            written.append(file.path)
        return written

    def synthesizers(self) -> Sequence[service_pb2.SynthesizerInfo]:
        """With their descriptions: each is started for it."""
        return [self._ask(calls.synthesizer(name)) for name in self._ask(calls.synthesizer_names())]

    def check(
        self,
        synthesizer: str,
        level: str = "core",
        *,
        tell: Callable[[service_pb2.CheckOutcome], None] | None = None,
    ) -> service_pb2.Conformance:
        """Run the conformance kit, "core" or "recovery", against the synthesizer; `tell` is called with every check."""
        result = service_pb2.Conformance()
        for response in self._follow(feeds.Checking(synthesizer, level)):
            if response.HasField("result"):
                result = response.result
            elif tell is not None:
                tell(response.check)
        return result

    def drain(self, synthesizer: str, *, resume: bool = False) -> service_pb2.SynthesizerInfo:
        """Give it no new run; its process ends with its last open one. With `resume` it takes runs again."""
        return self._ask(calls.drain(synthesizer, resume))

    def enroll(self, synthesizer: str, life_s: float | None = None) -> service_pb2.EnrollSynthesizerResponse:
        """A token with which a synthesizer on another host registers once, and what to set in its environment.

        Raises: IllegalTransition where the engine listens to no other host.
        """
        return self._ask(calls.enroll(synthesizer, life_s))

    def _ask(self, call: Call[Result]) -> Result:
        attempts = Attempts(call.deadline_s, Patience(), self._rng)
        while True:
            try:
                return call.result(call.method(self._connection.channel)(call.request, timeout=attempts.deadline_s))
            except grpc.RpcError as raw:
                error = rpc_error(raw)
                if call.is_done_by(error, attempts.are_repeated):
                    return call.result(None)
                self._again(attempts, error, raw)

    def _pages(self, page: Callable[[str], Call[Page[Item]]]) -> Iterator[Item]:
        token = ""
        while True:
            found = self._ask(page(token))
            yield from found.items
            token = found.next_token
            if not token:
                return

    def _follow(self, feed: Feed[Item]) -> Generator[Item, None, None]:
        attempts = Attempts(feed.deadline_s, feed.patience, self._rng)
        while True:
            stream = feed.method(self._connection.channel)(feed.request(), timeout=attempts.deadline_s)
            try:
                for response in stream:
                    if feed.goes_on:
                        attempts.succeeded()
                    item = feed.take(response)
                    if item is not None:
                        yield item
            except grpc.RpcError as raw:
                self._again(attempts, rpc_error(raw), raw)
                continue
            finally:
                stream.cancel()
            ending = feed.ending()
            if ending is None or self._ask(ending):
                return
            self._again(attempts, PluginUnavailable("it ended a stream that is not over"), None)

    def _again(self, attempts: Attempts, error: NeunetsError, raw: grpc.RpcError | None) -> None:
        """Wait until an attempt may be made again. Raises: `error` where none may."""
        try:
            wait_s = attempts.failed(error, time.monotonic())
        except NeunetsError as last:
            raise last from raw
        time.sleep(wait_s)
        self._connection.recover()


@contextmanager
def connect(server: str | None = None, home: str | Path | None = None) -> Iterator[Client]:
    """A client of the engine at `server`, a gRPC target, or of an embedded one, which ends with the `with`.

    The embedded one works on `home`, by default NEUNETS_HOME or the user's data folder. Raises: NotReady.
    """
    with Connection(server, home) as connection:
        yield Client(connection)


@contextmanager
def told() -> Iterator[None]:
    """A status becomes the error that the engine raised; a connection that is lost, NotReady."""
    try:
        yield
    except grpc.RpcError as raw:
        error: NeunetsError = rpc_error(raw)
        if isinstance(error, PluginUnavailable):
            error = NotReady(f"the engine does not answer: {error.message}")
        raise error from raw
