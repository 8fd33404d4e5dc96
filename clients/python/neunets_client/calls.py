"""Questions to the engine that have one answer, each made here once: `Client` waits for it, `AsyncClient` awaits it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Generic, Literal, TypeAlias, TypedDict, TypeVar

import grpc
import grpc.aio
from google.protobuf import struct_pb2

from neunets.errors import NeunetsError, NotFound
from neunets.graph import Graph
from neunets.graph.v1 import graph_pb2
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets.synthesizer import Recipe
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_to_proto

__all__ = ["CALL_DEADLINE_S", "FINAL_STATES", "Call", "Channel", "ImageFit", "Page", "ReadingOptions", "RunOptions"]

Channel: TypeAlias = grpc.Channel | grpc.aio.Channel
# How an image of another aspect is brought to the size: to it, whole between black bars, or its middle alone.
ImageFit: TypeAlias = Literal["stretch", "pad", "crop"]
Item = TypeVar("Item")
Request = TypeVar("Request")
Reply = TypeVar("Reply")
Result = TypeVar("Result")

CALL_DEADLINE_S: Final = 60.0
EXPORT_DEADLINE_S: Final = 3600.0
# Nothing more happens in them by itself.
FINAL_STATES: Final = frozenset(
    {
        service_pb2.RUN_STATE_COMPLETED,
        service_pb2.RUN_STATE_STOPPED,
        service_pb2.RUN_STATE_FAILED,
        service_pb2.RUN_STATE_PAUSED,
    }
)

Runs: Final = service_pb2_grpc.RunsStub
Models: Final = service_pb2_grpc.ModelsStub
Datasets: Final = service_pb2_grpc.DatasetsStub
Synthesizers: Final = service_pb2_grpc.SynthesizersStub


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """`method` is taken from a channel; `result` is what its reply is wanted for.

    `done_by` is what the engine raises where an attempt before, whose reply was lost, has done it; the result is then
    that of None.
    """

    method: Callable[[Channel], Any]
    request: object
    result: Callable[[Any], Result]
    deadline_s: float = CALL_DEADLINE_S
    done_by: type[NeunetsError] | None = None

    def is_done_by(self, error: NeunetsError, is_repeated: bool) -> bool:
        return is_repeated and self.done_by is not None and isinstance(error, self.done_by)


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    items: Sequence[Item]
    next_token: str  # empty: this was the last page


class RunOptions(TypedDict, total=False):
    """What a run may be given beside its data. At least one of `wall_s` and `trials` is."""

    synthesizer: str  # a name that `synthesizers` gives; by default "random"
    settings: Mapping[str, object] | struct_pb2.Struct | None  # checked against the synthesizer's schema
    wall_s: float | None  # of search, final training and export
    trials: int | None
    max_params: int | None
    seed: int
    mirror: service_pb2.RunSpec.Mirror.ValueType
    train_on_validation: bool
    metric: str  # "valid_accuracy" (default), "valid_balanced_accuracy", "valid_macro_f1"


class ReadingOptions(TypedDict, total=False):
    """How data are read.

    `image_size`: of all images, of a square or (height, width); by default chosen from theirs. `image_fit`: how an
    image of another aspect is brought to it: "stretch", "pad" with black, or "crop" to the middle.
    """

    image_size: int | tuple[int, int] | None
    image_fit: ImageFit
    image_column: str | None  # of a table; by default known by common names
    label_column: str | None
    skip_unreadable: bool  # images that cannot be read; else they are refused, all in one message


def reading(source: str, seed: int, options: ReadingOptions) -> service_pb2.RegisterDatasetRequest:
    fit = service_pb2.Preprocessing.Fit.Value(f"FIT_{options.get('image_fit', 'stretch').upper()}")
    request = service_pb2.RegisterDatasetRequest(
        source=source,
        seed=seed,
        image_fit=fit,
        image_column=options.get("image_column") or "",
        label_column=options.get("label_column") or "",
        skip_unreadable=options.get("skip_unreadable", False),
    )
    image_size = options.get("image_size")
    if isinstance(image_size, tuple):
        request.image_height, request.image_width = image_size
    elif image_size is not None:
        request.image_size = image_size
    return request


def create(dataset: str, options: RunOptions) -> Call[service_pb2.Run]:
    spec = service_pb2.RunSpec(
        dataset=dataset,
        synthesizer=options.get("synthesizer", "random"),
        settings=_struct(options.get("settings")),
        wall_s=options.get("wall_s"),
        trials=options.get("trials"),
        max_params=options.get("max_params"),
        seed=options.get("seed", 0),
        mirror=options.get("mirror", service_pb2.RunSpec.MIRROR_UNSPECIFIED),
        train_on_validation=options.get("train_on_validation", False),
        metric=options.get("metric", ""),
    )
    request = service_pb2.CreateRunRequest(request_id=str(uuid.uuid4()), spec=spec)
    return _call(lambda channel: Runs(channel).Create, request, _whole)


def get(run: str) -> Call[service_pb2.Run]:
    return _call(lambda channel: Runs(channel).Get, service_pb2.GetRunRequest(name=run), _whole)


def has_ended(run: str) -> Call[bool]:
    """Whether nothing more happens in it by itself."""
    request = service_pb2.GetRunRequest(name=run)
    return _call(lambda channel: Runs(channel).Get, request, lambda reply: reply.state in FINAL_STATES)


def runs(where: str, order_by: str, token: str) -> Call[Page[service_pb2.Run]]:
    request = service_pb2.ListRunsRequest(filter=where, order_by=order_by, page_token=token)
    return _call(lambda channel: Runs(channel).List, request, lambda page: Page(page.runs, page.next_page_token))


def stop(run: str, mode: service_pb2.StopRunRequest.Mode.ValueType) -> Call[service_pb2.Run]:
    return _call(lambda channel: Runs(channel).Stop, service_pb2.StopRunRequest(name=run, mode=mode), _whole)


def resume(run: str) -> Call[service_pb2.Run]:
    return _call(lambda channel: Runs(channel).Resume, service_pb2.ResumeRunRequest(name=run), _whole)


def update_budget(run: str, wall_s: float | None, trials: int | None, etag: str) -> Call[service_pb2.Run]:
    request = service_pb2.UpdateBudgetRequest(name=run, etag=etag, wall_s=wall_s, trials=trials)
    return _call(lambda channel: Runs(channel).UpdateBudget, request, _whole)


def inject(
    run: str, graph: Graph | graph_pb2.Graph, recipe: Recipe | synthesizer_pb2.Recipe, rationale: str
) -> Call[str]:
    request = service_pb2.InjectCandidateRequest(
        name=run,
        request_id=str(uuid.uuid4()),
        graph=graph_to_proto(graph) if isinstance(graph, Graph) else graph,
        recipe=_recipe(recipe) if isinstance(recipe, Recipe) else recipe,
        rationale=rationale,
    )
    return _call(lambda channel: Runs(channel).InjectCandidate, request, lambda reply: reply.model)


def delete(run: str, etag: str) -> Call[None]:
    request = service_pb2.DeleteRunRequest(name=run, etag=etag)
    return Call(lambda channel: Runs(channel).Delete, request, lambda reply: None, done_by=NotFound)


def models(run: str, where: str, order_by: str, token: str) -> Call[Page[service_pb2.Model]]:
    request = service_pb2.ListModelsRequest(parent=run, filter=where, order_by=order_by, page_token=token)
    return _call(lambda channel: Models(channel).List, request, lambda page: Page(page.models, page.next_page_token))


def model(name: str) -> Call[service_pb2.Model]:
    return _call(lambda channel: Models(channel).Get, service_pb2.GetModelRequest(name=name), _whole)


def trial_has_ended(model: str) -> Call[bool]:
    request = service_pb2.GetModelRequest(name=model)
    ended = service_pb2.TRIAL_STATE_ENDED
    return _call(lambda channel: Models(channel).Get, request, lambda reply: reply.state == ended)


def metrics(model: str) -> Call[Sequence[synthesizer_pb2.Measured]]:
    request = service_pb2.ModelMetricsRequest(name=model)
    return _call(lambda channel: Models(channel).Metrics, request, lambda reply: reply.measured)


def compare(models: Sequence[str]) -> Call[service_pb2.CompareModelsResponse]:
    return _call(lambda channel: Models(channel).Compare, service_pb2.CompareModelsRequest(names=models), _whole)


def pick(model: str) -> Call[service_pb2.Model]:
    request = service_pb2.PickModelRequest(name=model)
    return _call(lambda channel: Models(channel).Pick, request, _whole, EXPORT_DEADLINE_S)


def export(
    model: str, formats: Sequence[service_pb2.ExportModelRequest.Format.ValueType], max_drop: float | None
) -> Call[service_pb2.ExportModelResponse]:
    request = service_pb2.ExportModelRequest(name=model, formats=formats, max_accuracy_drop=max_drop)
    deadline_s = EXPORT_DEADLINE_S if formats else CALL_DEADLINE_S
    return _call(lambda channel: Models(channel).Export, request, _whole, deadline_s)


def dataset(name: str) -> Call[service_pb2.Dataset]:
    request = service_pb2.DescribeDatasetRequest(name=name)
    return _call(lambda channel: Datasets(channel).Describe, request, _whole)


def preview(dataset: str, images_a_class: int) -> Call[bytes]:
    request = service_pb2.PreviewDatasetRequest(name=dataset, images_a_class=images_a_class)
    return _call(lambda channel: Datasets(channel).Preview, request, lambda reply: reply.png)


def synthesizer_names() -> Call[Sequence[str]]:
    def names(reply: service_pb2.ListSynthesizersResponse) -> Sequence[str]:
        return [info.name for info in reply.synthesizers]

    return _call(lambda channel: Synthesizers(channel).List, service_pb2.ListSynthesizersRequest(), names)


def synthesizer(name: str) -> Call[service_pb2.SynthesizerInfo]:
    return _call(lambda channel: Synthesizers(channel).Get, service_pb2.GetSynthesizerRequest(name=name), _whole)


def enroll(synthesizer: str, life_s: float | None) -> Call[service_pb2.EnrollSynthesizerResponse]:
    request = service_pb2.EnrollSynthesizerRequest(name=synthesizer, life_s=life_s)
    return _call(lambda channel: Synthesizers(channel).Enroll, request, _whole)


def drain(synthesizer: str, resume: bool) -> Call[service_pb2.SynthesizerInfo]:
    request = service_pb2.DrainSynthesizerRequest(name=synthesizer, resume=resume)
    return _call(lambda channel: Synthesizers(channel).Drain, request, _whole)


def _call(
    method: Callable[[Channel], grpc.UnaryUnaryMultiCallable[Request, Reply]],
    request: Request,
    result: Callable[[Reply], Result],
    deadline_s: float = CALL_DEADLINE_S,
) -> Call[Result]:
    """A `Call` whose request and result fit its method."""
    return Call(method, request, result, deadline_s)


def _whole(reply: Reply) -> Reply:
    return reply


def _recipe(recipe: Recipe) -> synthesizer_pb2.Recipe:
    return synthesizer_pb2.Recipe(**{name: value for name, value in asdict(recipe).items() if value is not None})


def _struct(settings: Mapping[str, object] | struct_pb2.Struct | None) -> struct_pb2.Struct | None:
    if settings is None or isinstance(settings, struct_pb2.Struct):
        return settings
    struct = struct_pb2.Struct()
    struct.update(dict(settings))  # type: ignore[arg-type]  # what a Struct cannot hold, it refuses itself
    return struct
