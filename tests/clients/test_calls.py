"""Both clients ask alike, again where that may help, and go on with a stream where it was lost."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from clients.conftest import Answering
from fakes import IMAGE, network
from neunets.errors import DeadlineExceeded, IllegalTransition, NotFound, NotReady
from neunets.service.v1 import service_pb2 as pb
from neunets.synthesizer import Recipe
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_to_proto
from neunets_client import AsyncClient, Client, DamagedFile

# gRPC rounds the deadlines that it sends.
ROUNDED = 1.02
Ask = Callable[[Callable[[Any], Any]], Any]
LOST, LATE = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED
RUN, MODEL = "runs/r", "runs/r/models/t1"
GRAPH = network(IMAGE, 3, 8)
SETTINGS = pb.RunSpec()
SETTINGS.settings.update({"patience": 3})

# Method of the service, use of the client, what it asks, what is answered, what is made of it.
CALLS: dict[str, tuple[str, Callable[[Any], Any], Message, Message, object]] = {
    "create": (
        "Runs.Create",
        lambda client: client.create("datasets/d", trials=2, settings={"patience": 3}),
        pb.CreateRunRequest(
            spec=pb.RunSpec(dataset="datasets/d", synthesizer="random", trials=2, settings=SETTINGS.settings)
        ),
        pb.Run(name=RUN),
        pb.Run(name=RUN),
    ),
    "get": ("Runs.Get", lambda client: client.get(RUN), pb.GetRunRequest(name=RUN), pb.Run(), pb.Run()),
    "runs": (
        "Runs.List",
        lambda client: client.runs("state = COMPLETED", order_by="create_time"),
        pb.ListRunsRequest(filter="state = COMPLETED", order_by="create_time"),
        pb.ListRunsResponse(runs=[pb.Run(name=RUN)]),
        [pb.Run(name=RUN)],
    ),
    "stop": (
        "Runs.Stop",
        lambda client: client.stop(RUN),
        pb.StopRunRequest(name=RUN, mode=pb.StopRunRequest.MODE_FINISH),
        pb.Run(),
        pb.Run(),
    ),
    "resume": ("Runs.Resume", lambda client: client.resume(RUN), pb.ResumeRunRequest(name=RUN), pb.Run(), pb.Run()),
    "update_budget": (
        "Runs.UpdateBudget",
        lambda client: client.update_budget(RUN, trials=7, etag="e"),
        pb.UpdateBudgetRequest(name=RUN, etag="e", trials=7),
        pb.Run(),
        pb.Run(),
    ),
    "inject": (
        "Runs.InjectCandidate",
        lambda client: client.inject(RUN, GRAPH, Recipe(epochs=2.0), "mine"),
        pb.InjectCandidateRequest(
            name=RUN, graph=graph_to_proto(GRAPH), recipe=synthesizer_pb2.Recipe(epochs=2.0), rationale="mine"
        ),
        pb.InjectCandidateResponse(candidate="c1", model=MODEL),
        MODEL,
    ),
    "inject as messages": (
        "Runs.InjectCandidate",
        lambda client: client.inject(RUN, graph_to_proto(GRAPH), synthesizer_pb2.Recipe(epochs=2.0)),
        pb.InjectCandidateRequest(name=RUN, graph=graph_to_proto(GRAPH), recipe=synthesizer_pb2.Recipe(epochs=2.0)),
        pb.InjectCandidateResponse(candidate="c1", model=MODEL),
        MODEL,
    ),
    "delete": (
        "Runs.Delete",
        lambda client: client.delete(RUN, "e"),
        pb.DeleteRunRequest(name=RUN, etag="e"),
        pb.DeleteRunResponse(),
        None,
    ),
    "models": (
        "Models.List",
        lambda client: client.models(RUN, "final = true", "metric desc"),
        pb.ListModelsRequest(parent=RUN, filter="final = true", order_by="metric desc"),
        pb.ListModelsResponse(models=[pb.Model(name=MODEL)]),
        [pb.Model(name=MODEL)],
    ),
    "model": (
        "Models.Get",
        lambda client: client.model(MODEL),
        pb.GetModelRequest(name=MODEL),
        pb.Model(params=3),
        pb.Model(params=3),
    ),
    "metrics": (
        "Models.Metrics",
        lambda client: client.metrics(MODEL),
        pb.ModelMetricsRequest(name=MODEL),
        pb.ModelMetricsResponse(measured=[synthesizer_pb2.Measured(epoch=1.0)]),
        [synthesizer_pb2.Measured(epoch=1.0)],
    ),
    "compare": (
        "Models.Compare",
        lambda client: client.compare([MODEL, "runs/r/models/t2"]),
        pb.CompareModelsRequest(names=[MODEL, "runs/r/models/t2"]),
        pb.CompareModelsResponse(),
        pb.CompareModelsResponse(),
    ),
    "export": (
        "Models.Export",
        lambda client: client.export(MODEL, [pb.ExportModelRequest.FORMAT_INT8], 0.1),
        pb.ExportModelRequest(name=MODEL, formats=[pb.ExportModelRequest.FORMAT_INT8], max_accuracy_drop=0.1),
        pb.ExportModelResponse(variants=[pb.Variant(file="model.int8.onnx")]),
        [pb.Variant(file="model.int8.onnx")],
    ),
    "dataset": (
        "Datasets.Describe",
        lambda client: client.dataset("datasets/d"),
        pb.DescribeDatasetRequest(name="datasets/d"),
        pb.Dataset(task="images"),
        pb.Dataset(task="images"),
    ),
    "preview": (
        "Datasets.Preview",
        lambda client: client.preview("datasets/d", 3),
        pb.PreviewDatasetRequest(name="datasets/d", images_a_class=3),
        pb.PreviewDatasetResponse(png=b"png"),
        b"png",
    ),
    "enroll": (
        "Synthesizers.Enroll",
        lambda client: client.enroll("far", 60.0),
        pb.EnrollSynthesizerRequest(name="far", life_s=60.0),
        pb.EnrollSynthesizerResponse(token="secret"),
        pb.EnrollSynthesizerResponse(token="secret"),
    ),
    "drain": (
        "Synthesizers.Drain",
        lambda client: client.drain("good", resume=True),
        pb.DrainSynthesizerRequest(name="good", resume=True),
        pb.SynthesizerInfo(state="READY"),
        pb.SynthesizerInfo(state="READY"),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_method_asks_for_what_it_is_named_after(name: str, ask: Ask, service: Answering) -> None:
    method, use, request, reply, result = CALLS[name]
    service.on(method, reply)
    assert ask(use) == result
    (asked,) = service.asked
    if "request_id" in asked.DESCRIPTOR.fields_by_name:
        assert asked.request_id
        asked.ClearField("request_id")
    assert asked == request
    assert 0.0 < service.deadlines_s[0] <= 3600.0 * ROUNDED


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[tuple[str, object]]]:
        found = {name: value for name, value in vars(kind).items() if not name.startswith("_")}
        return {
            name: [(parameter.name, parameter.default) for parameter in inspect.signature(value).parameters.values()]
            for name, value in found.items()
        }

    assert methods(AsyncClient) == methods(Client)
    assert {name.partition(" ")[0] for name in CALLS} < methods(Client).keys()


def test_pages_are_turned_to_the_last(ask: Ask, service: Answering) -> None:
    first = pb.ListRunsResponse(runs=[pb.Run(name="runs/1")], next_page_token="t")
    service.on("Runs.List", first, LOST, pb.ListRunsResponse(runs=[pb.Run(name="runs/2")]))
    assert [run.name for run in ask(lambda client: client.runs("state = FAILED"))] == ["runs/1", "runs/2"]
    assert service.asked[1] == service.asked[2] == pb.ListRunsRequest(filter="state = FAILED", page_token="t")


def test_a_lost_engine_is_asked_again_with_the_same_request(ask: Ask, service: Answering) -> None:
    service.on("Runs.Create", LOST, NotReady("it starts"), pb.Run(name=RUN))
    assert ask(lambda client: client.create("datasets/d", trials=1)).name == RUN
    assert service.asked[0] == service.asked[1] == service.asked[2]  # one request id: one run


def test_a_late_answer_is_given_twice_the_time_once(ask: Ask, service: Answering) -> None:
    service.on("Runs.Get", LATE, pb.Run(name=RUN))
    assert ask(lambda client: client.get(RUN)).name == RUN
    first_s, second_s = service.deadlines_s
    assert first_s <= 60.0 * ROUNDED < second_s <= 120.0 * ROUNDED
    service.on("Runs.Get", LATE, LATE, pb.Run(name=RUN))
    with pytest.raises(DeadlineExceeded):
        ask(lambda client: client.get(RUN))


def test_a_refusal_is_raised_as_the_engine_raised_it(ask: Ask, service: Answering) -> None:
    service.on("Runs.Stop", IllegalTransition("it is STOPPED", state="STOPPED"))
    with pytest.raises(IllegalTransition, match="STOPPED") as caught:
        ask(lambda client: client.stop(RUN))
    assert caught.value.metadata["state"] == "STOPPED"


def test_a_run_that_a_lost_attempt_has_deleted_is_deleted(ask: Ask, service: Answering) -> None:
    service.on("Runs.Delete", LOST, NotFound("no run r"))
    assert ask(lambda client: client.delete(RUN)) is None
    service.on("Runs.Delete", NotFound("no run r"))
    with pytest.raises(NotFound):
        ask(lambda client: client.delete(RUN))


def happened(*seqs: int) -> tuple[pb.WatchRunResponse, ...]:
    return tuple(pb.WatchRunResponse(event=pb.RunEvent(seq=seq)) for seq in seqs)


def test_a_watch_goes_on_after_the_last_event_that_came(ask: Ask, service: Answering) -> None:
    heartbeat = pb.WatchRunResponse(run=pb.Run(name=RUN))
    service.on("Runs.Watch", (*happened(3, 4), LOST), (LOST,), (*happened(5), LATE), (heartbeat,), happened(6))
    service.on("Runs.Get", pb.Run(state=pb.RUN_STATE_TRAINING), pb.Run(state=pb.RUN_STATE_COMPLETED))
    responses = ask(lambda client: client.watch(RUN, after_seq=2))
    assert [response.event.seq for response in responses] == [3, 4, 5, 0, 6]
    watched = [request.after_seq for request in service.asked if isinstance(request, pb.WatchRunRequest)]
    assert watched == [2, 4, 4, 5, 5]
    assert max(service.deadlines_s) <= 120.0 * ROUNDED


def test_wait_gives_the_run_as_it_ended(ask: Ask, service: Answering) -> None:
    over = pb.Run(state=pb.RUN_STATE_COMPLETED, seq=9)
    service.on("Runs.Get", pb.Run(seq=7), over, over)
    service.on("Runs.Watch", happened(8, 9))
    assert ask(lambda client: client.wait(RUN)) == over
    assert service.asked[1] == pb.WatchRunRequest(name=RUN, after_seq=7)


def measured(*counts: int) -> tuple[pb.WatchMetricsResponse, ...]:
    return tuple(
        pb.WatchMetricsResponse(measured=synthesizer_pb2.Measured(epoch=float(count)), count=count) for count in counts
    )


def test_each_measurement_comes_once(ask: Ask, service: Answering) -> None:
    heartbeat = pb.WatchMetricsResponse(count=3)
    service.on("Models.WatchMetrics", (*measured(2, 3), heartbeat, LOST), measured(4))
    service.on("Models.Get", pb.Model(state=pb.TRIAL_STATE_ENDED))
    found = ask(lambda client: client.watch_metrics(MODEL, after=1))
    assert [measurement.epoch for measurement in found] == [2.0, 3.0, 4.0]
    assert [request.after for request in service.asked[:2]] == [1, 3]


def test_data_are_read_anew_where_the_engine_was_lost_and_not_where_it_refused(ask: Ask, service: Answering) -> None:
    progress = pb.RegisterDatasetResponse(progress=pb.ReadProgress(stage="decoding"))
    done = pb.RegisterDatasetResponse(dataset=pb.Dataset(name="datasets/d"))
    told: list[pb.ReadProgress] = []
    service.on("Datasets.Register", (progress, LOST), (progress, done))
    assert ask(lambda client: client.register("digits", tell=told.append)).name == "datasets/d"
    assert [progress.stage for progress in told] == ["decoding"] * 2
    service.on("Datasets.Register", (progress, NotReady("the disk is full")))
    with pytest.raises(NotReady, match="the disk is full"):
        ask(lambda client: client.register("digits"))


def test_each_check_is_told_once(ask: Ask, service: Answering) -> None:
    checks = [pb.CheckSynthesizerResponse(check=pb.CheckOutcome(id=name)) for name in ("a", "b")]
    result = pb.CheckSynthesizerResponse(result=pb.Conformance(conformant=True))
    told: list[pb.CheckOutcome] = []
    service.on("Synthesizers.Check", (checks[0], LOST), (*checks, result))
    assert ask(lambda client: client.check("good", "recovery", tell=told.append)).conformant
    assert [check.id for check in told] == ["a", "b"]
    assert service.asked[0] == pb.CheckSynthesizerRequest(name="good", level="recovery")


def offer(service: Answering, data: bytes, sent: bytes) -> None:
    """A file of a model, of which the first half comes before the engine is lost."""
    ref = synthesizer_pb2.ArtifactRef(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    artifact = pb.Artifact(file="model.onnx", ref=ref)
    service.on("Models.Export", pb.ExportModelResponse(model=pb.Model(artifacts=[artifact])))
    half = len(sent) // 2
    service.on(
        "Models.Download", (pb.DownloadResponse(data=sent[:half]), LOST), (pb.DownloadResponse(data=sent[half:]),)
    )


def test_a_download_goes_on_where_it_was_lost(ask: Ask, service: Answering, tmp_path: Path) -> None:
    offer(service, b"0123456789", b"0123456789")
    assert ask(lambda client: client.download(MODEL, tmp_path / "out")) == [tmp_path / "out" / "model.onnx"]
    assert (tmp_path / "out" / "model.onnx").read_bytes() == b"0123456789"
    assert [request.offset for request in service.asked[1:]] == [0, 5]


@pytest.mark.parametrize("sent", [b"0123456780", b"01234567", b"01234567899"])
def test_what_is_not_the_file_that_was_kept_is_no_file(
    sent: bytes, ask: Ask, service: Answering, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"of before")
    offer(service, b"0123456789", sent)
    with pytest.raises(DamagedFile, match=r"model\.onnx"):
        ask(lambda client: client.download(MODEL, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_bytes() == b"of before"
