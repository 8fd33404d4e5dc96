"""The engine's service API in Python's words."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import grpc
from google.protobuf import struct_pb2

from neunets.errors import NeunetsError, NotReady, PluginUnavailable
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets.status import rpc_error
from neunets_client.connection import Connection

__all__ = ["Client", "told"]

CALL_DEADLINE_S: Final = 60.0
REGISTER_DEADLINE_S: Final = 3600.0
EXPORT_DEADLINE_S: Final = 3600.0
FINAL_STATES: Final = frozenset(
    {
        service_pb2.RUN_STATE_COMPLETED,
        service_pb2.RUN_STATE_STOPPED,
        service_pb2.RUN_STATE_FAILED,
        service_pb2.RUN_STATE_PAUSED,
    }
)


class Client:
    """Raises what the engine raised: `NeunetsError` and its subclasses."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def register(
        self,
        source: str,
        seed: int,
        *,
        image_size: int | None = None,
        tell: Callable[[service_pb2.ReadProgress], None] | None = None,
    ) -> service_pb2.Dataset:
        """`tell` is called with every progress, at least once a second."""
        request = service_pb2.RegisterDatasetRequest(source=source, seed=seed, image_size=image_size)
        responses = service_pb2_grpc.DatasetsStub(self._connection.channel).Register(
            request, timeout=REGISTER_DEADLINE_S
        )
        dataset = service_pb2.Dataset()
        with told():
            for response in responses:
                if response.HasField("dataset"):
                    dataset = response.dataset
                elif tell is not None:
                    tell(response.progress)
        return dataset

    def preview(self, dataset: str, images_a_class: int = 0) -> bytes:
        """A PNG of training images of every class; 0: as many as the engine likes. Raises: UnsupportedProblem."""
        request = service_pb2.PreviewDatasetRequest(name=dataset, images_a_class=images_a_class)
        with told():
            return service_pb2_grpc.DatasetsStub(self._connection.channel).Preview(request, timeout=CALL_DEADLINE_S).png

    def create(
        self,
        dataset: str,
        *,
        synthesizer: str = "random",
        settings: struct_pb2.Struct | None = None,
        wall_s: float | None = None,
        trials: int | None = None,
        max_params: int | None = None,
        seed: int = 0,
        mirror: service_pb2.RunSpec.Mirror.ValueType = service_pb2.RunSpec.MIRROR_UNSPECIFIED,
        train_on_validation: bool = False,
        metric: str = "",
    ) -> service_pb2.Run:
        spec = service_pb2.RunSpec(
            dataset=dataset,
            synthesizer=synthesizer,
            settings=settings,
            wall_s=wall_s,
            trials=trials,
            max_params=max_params,
            seed=seed,
            mirror=mirror,
            train_on_validation=train_on_validation,
            metric=metric,
        )
        request = service_pb2.CreateRunRequest(request_id=str(uuid.uuid4()), spec=spec)
        with told():
            return self._runs().Create(request, timeout=CALL_DEADLINE_S)

    def get(self, run: str) -> service_pb2.Run:
        with told():
            return self._runs().Get(service_pb2.GetRunRequest(name=run), timeout=CALL_DEADLINE_S)

    def runs(self) -> Iterator[service_pb2.Run]:
        """Newest first."""
        token = ""
        while True:
            with told():
                page = self._runs().List(service_pb2.ListRunsRequest(page_token=token), timeout=CALL_DEADLINE_S)
            yield from page.runs
            token = page.next_page_token
            if not token:
                return

    def watch(self, run: str) -> Iterator[service_pb2.WatchRunResponse]:
        """Every event of the run from its first, without gap or repeat, until it is final or paused.

        A lost engine is found again, or started again where it is embedded. Raises: NotReady where that fails.
        """
        seq = 0
        while True:
            request = service_pb2.WatchRunRequest(name=run, after_seq=seq)
            try:
                for response in self._runs().Watch(request):
                    if response.HasField("event"):
                        seq = response.event.seq
                    yield response
            except grpc.RpcError as raw:
                error = rpc_error(raw)
                if not isinstance(error, PluginUnavailable | NotReady):
                    raise error from raw
                self._connection.ensure()
                continue
            if self.get(run).state in FINAL_STATES:
                return

    def stop(self, run: str, mode: service_pb2.StopRunRequest.Mode.ValueType) -> service_pb2.Run:
        with told():
            return self._runs().Stop(service_pb2.StopRunRequest(name=run, mode=mode), timeout=CALL_DEADLINE_S)

    def resume(self, run: str) -> service_pb2.Run:
        with told():
            return self._runs().Resume(service_pb2.ResumeRunRequest(name=run), timeout=CALL_DEADLINE_S)

    def models(self, run: str) -> Iterator[service_pb2.Model]:
        token = ""
        while True:
            request = service_pb2.ListModelsRequest(parent=run, page_token=token)
            with told():
                page = self._models().List(request, timeout=CALL_DEADLINE_S)
            yield from page.models
            token = page.next_page_token
            if not token:
                return

    def model(self, name: str) -> service_pb2.Model:
        with told():
            return self._models().Get(service_pb2.GetModelRequest(name=name), timeout=CALL_DEADLINE_S)

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
        request = service_pb2.ExportModelRequest(name=model, formats=formats, max_accuracy_drop=max_drop)
        with told():
            return self._models().Export(request, timeout=EXPORT_DEADLINE_S).variants

    def download(self, model: str, folder: Path) -> Sequence[Path]:
        """Write all files of an exported model into `folder`; each gets its name once it is whole."""
        with told():
            exported = self._models().Export(service_pb2.ExportModelRequest(name=model), timeout=CALL_DEADLINE_S).model
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for artifact in exported.artifacts:
            path = folder / artifact.file
            scratch = folder / f".{artifact.file}.part"
            request = service_pb2.DownloadRequest(name=model, file=artifact.file)
            with told(), scratch.open("wb") as file:
                for part in self._models().Download(request, timeout=REGISTER_DEADLINE_S):
                    file.write(part.data)
            scratch.replace(path)
            written.append(path)
        return written

    def synthesizers(self) -> Sequence[service_pb2.SynthesizerInfo]:
        """With their descriptions: each is started for it."""
        stub = service_pb2_grpc.SynthesizersStub(self._connection.channel)
        with told():
            found = stub.List(service_pb2.ListSynthesizersRequest(), timeout=CALL_DEADLINE_S).synthesizers
            return [
                stub.Get(service_pb2.GetSynthesizerRequest(name=info.name), timeout=CALL_DEADLINE_S) for info in found
            ]

    def _runs(self) -> service_pb2_grpc.RunsStub:
        return service_pb2_grpc.RunsStub(self._connection.channel)

    def _models(self) -> service_pb2_grpc.ModelsStub:
        return service_pb2_grpc.ModelsStub(self._connection.channel)


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
