"""Whole runs on a real engine: its plugins, its workers, its store."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from engines import follow
from neunets.errors import IllegalTransition, InvalidRequest, NotFound, PluginFault, UnsupportedProblem
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_from_proto
from neunets_client.client import Client, told
from neunets_client.connection import Connection

MODES = service_pb2.StopRunRequest


def test_a_run_goes_from_data_to_a_checked_model(client: Client, dataset: service_pb2.Dataset, tmp_path) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="good", trials=2, seed=1).name)
    assert history.state == "COMPLETED"
    assert history.run.trials_ended == 2
    assert [event.seq for event in history.events] == list(range(1, len(history.events) + 1))
    model = client.model(history.run.model)
    assert model.final
    assert model.figures["test_accuracy"] > 0.9
    files = {path.name: path for path in client.download(model.name, tmp_path)}
    cards, pictures = {"card.md", "card.json"}, {"curve.svg", "architecture.svg"}
    assert files.keys() == {"model.onnx", "weights.safetensors"} | cards | pictures
    session = onnxruntime.InferenceSession(files["model.onnx"], providers=["CPUExecutionProvider"])
    x = np.zeros((2, *dataset.input.shape), np.uint8)
    probabilities, label = session.run(["probabilities", "label"], {"image": x})
    assert probabilities.shape == (2, 4)
    assert set(label) <= {"0", "1", "2", "3"}


def test_the_same_seed_gives_the_same_candidates_and_results(client: Client, dataset: service_pb2.Dataset) -> None:
    first, second = (
        follow(client, client.create(dataset.name, synthesizer="good", trials=3, seed=5).name) for _ in range(2)
    )
    assert first.candidates() == second.candidates()
    accuracies = [
        sorted((model.trial, model.result.metrics["valid_loss"]) for model in client.models(history.run.name))
        for history in (first, second)
    ]
    assert accuracies[0] == accuracies[1]


def test_garbage_is_rejected_with_its_reason_and_the_run_goes_on(client: Client, dataset: service_pb2.Dataset) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="garbage", trials=2).name)
    assert history.state == "COMPLETED"
    expected = ["BAD_GRAPH", "BAD_GRAPH", "BAD_GRAPH", "OVER_CONSTRAINT", "DUPLICATE", "BAD_RECIPE"]
    # 15 million units on 64 inputs are one array of 10^9 values, refused by size even without a bound.
    assert [code.replace("OVER_CONSTRAINT", "BAD_GRAPH") for code in history.rejections()] == [
        code.replace("OVER_CONSTRAINT", "BAD_GRAPH") for code in expected
    ]
    assert history.run.rejected == len(expected)
    verdicts = [event.verdict.reason for event in history.events if event.WhichOneof("event") == "verdict"]
    assert verdicts[-1].split(",") == history.rejections()  # the plugin says what it was told


def test_nothing_beyond_the_bound_is_trained(client: Client, dataset: service_pb2.Dataset) -> None:
    bound = 64 * 9 + 9 + 4 * 9 + 4  # of the second network
    history = follow(client, client.create(dataset.name, synthesizer="small", trials=9, max_params=bound).name)
    assert all(model.params <= bound for model in client.models(history.run.name))
    strict = follow(client, client.create(dataset.name, synthesizer="small", trials=9, max_params=bound - 1).name)
    assert strict.rejections() == ["OVER_CONSTRAINT"]
    assert all(model.params <= bound - 1 for model in client.models(strict.run.name))


def test_an_exhausted_search_ends_in_its_model(client: Client, dataset: service_pb2.Dataset) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="small", trials=50).name)
    assert (history.state, history.run.trials_ended) == ("COMPLETED", 2)
    assert history.run.model
    assert history.run.reason == "exhausted: two are enough"


def test_a_plugin_may_ask_to_wait(client: Client, dataset: service_pb2.Dataset) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="patient", trials=3).name)
    assert (history.state, history.run.trials_ended) == ("COMPLETED", 3)
    kinds = [event.WhichOneof("event") for event in history.search if event.WhichOneof("event") != "measured"]
    lines = [event.log.text for event in history.events if event.WhichOneof("event") == "log"]
    assert "waits: one after the other" in lines
    assert kinds[:9] == ["proposed", "started", "ended"] * 3
    assert sorted(kinds[9:]) == ["ended"] * 3 + ["started"] * 3  # trained on, trained anew, and measured


def test_a_converged_search_ends_before_its_budget(client: Client, dataset: service_pb2.Dataset) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="content", trials=500).name)
    assert history.state == "COMPLETED"
    assert history.run.trials_ended < 10
    assert history.run.reason == "converged: good enough"


def test_the_time_used_is_final_when_the_run_is(client: Client, dataset: service_pb2.Dataset) -> None:
    begin = time.monotonic()
    name = client.create(dataset.name, synthesizer="good", trials=2).name
    *_, last = client.watch(name)
    seen_s = time.monotonic() - begin
    assert 0.0 < last.run.wall_s <= seen_s
    follow(client, client.create(dataset.name, synthesizer="good", trials=1).name)
    assert client.get(name).wall_s == last.run.wall_s  # it does not grow while another run goes on


def test_a_search_without_verdicts_goes_on(client: Client, dataset: service_pb2.Dataset) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="speechless", trials=2).name)
    assert (history.state, history.run.trials_ended) == ("COMPLETED", 2)


def test_a_final_training_that_diverges_leaves_what_the_search_found(client: Client, dataset) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="reckless", trials=2).name)
    assert history.state == "COMPLETED"
    finals = [event.final_training for event in history.events if event.WhichOneof("event") == "final_training"]
    assert [final.recipe.WhichOneof("total") for final in finals] == [None, None, "epochs"]
    states = {end.trial: end.state for end in history.ends()}
    assert states[finals[1].trial] == synthesizer_pb2.TrialEnded.STATE_INFEASIBLE
    assert history.run.model.endswith(finals[2].trial)
    assert client.model(history.run.model).figures["valid_accuracy"] == history.run.best_metric


def test_a_plugin_that_dies_is_started_again(client: Client, dataset: service_pb2.Dataset) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="dying", trials=2).name)
    assert (history.state, history.run.trials_ended) == ("COMPLETED", 2)
    lines = [event.log.text for event in history.events if event.WhichOneof("event") == "log"]
    assert lines.count("dying is here") >= 2
    faults = [event.synthesizer_fault for event in history.events if event.WhichOneof("event") == "synthesizer_fault"]
    assert [(fault.exit_code, fault.faults) for fault in faults] == [(9, 1), (9, 2)]
    assert "dying is here" in faults[0].output
    assert "Propose: connection lost" in faults[0].reason
    assert next(info.faults for info in client.synthesizers() if info.name == "dying") == 2


def test_an_event_that_ends_a_plugin_each_time_is_named(client: Client, dataset: service_pb2.Dataset) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="poisoned", trials=3).name)
    assert history.state == "PAUSED"
    ended = next(event for event in history.search if event.WhichOneof("event") == "ended")
    assert f"Ingest of event {ended.seq} (ended), as each time that it was replayed" in history.run.reason
    assert "ended with exit code 3" in history.run.reason
    assert "what a result!" in history.run.reason
    assert history.run.reason.endswith(f"`neunets resume {history.run.name.removeprefix('runs/')}`")
    client.stop(history.run.name, MODES.MODE_ABORT)


def test_a_plugin_that_always_fails_pauses_the_run_and_may_be_tried_again(
    client: Client, dataset: service_pb2.Dataset
) -> None:
    name = client.create(dataset.name, synthesizer="raising", trials=2).name
    assert (state := follow(client, name)).state == "PAUSED"
    assert "quarantine" in state.run.reason
    assert "a bug" in state.run.reason
    with pytest.raises(PluginFault, match="quarantine"):
        client.create(dataset.name, synthesizer="raising", trials=2)
    client.resume(name)  # out of quarantine: it may have been mended
    assert follow(client, name).state == "PAUSED"
    client.resume(name)  # at once after the pause is seen
    again = follow(client, name)
    assert again.states()[-4:] == ["PROPOSING", "PAUSED"] * 2
    client.stop(name, MODES.MODE_ABORT)
    assert follow(client, name).state == "STOPPED"


def test_a_plugin_that_repeats_itself_pauses_the_run(client: Client, dataset: service_pb2.Dataset) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="stubborn", trials=2).name)
    assert history.state == "PAUSED"
    assert set(history.rejections()) == {"DUPLICATE"}
    assert history.run.trials_ended == 1


def test_a_run_asked_to_finish_exports_its_best(client: Client, dataset: service_pb2.Dataset) -> None:
    name = client.create(dataset.name, synthesizer="good", trials=100_000).name
    for response in client.watch(name):
        if response.run.trials_ended:
            client.stop(name, MODES.MODE_FINISH)
            break
    history = follow(client, name)
    assert history.state == "STOPPED"
    assert client.model(history.run.model).figures["test_accuracy"] >= 0.0
    assert client.stop(name, MODES.MODE_FINISH).state == history.run.state  # as when the first answer was lost


def test_a_run_may_be_aborted_before_it_begins(client: Client, dataset: service_pb2.Dataset) -> None:
    name = client.create(dataset.name, synthesizer="good", trials=100_000).name
    client.stop(name, MODES.MODE_ABORT)
    history = follow(client, name)
    assert (history.state, history.run.model) == ("STOPPED", "")


def test_an_aborted_run_leaves_nothing_that_trains(client: Client, dataset: service_pb2.Dataset) -> None:
    name = client.create(dataset.name, synthesizer="random", trials=100_000).name
    for response in client.watch(name):
        if response.run.trials_running == 2:
            client.stop(name, MODES.MODE_ABORT)
            break
    history = follow(client, name)
    assert (history.state, history.run.model, history.run.trials_running) == ("STOPPED", "", 0)
    assert {model.state for model in client.models(name)} == {service_pb2.TRIAL_STATE_ENDED}
    after = follow(client, client.create(dataset.name, synthesizer="good", trials=2).name)
    assert after.state == "COMPLETED"


def test_a_request_made_twice_starts_one_run(connection: Connection, dataset: service_pb2.Dataset) -> None:
    runs = service_pb2_grpc.RunsStub(connection.channel)
    spec = service_pb2.RunSpec(dataset=dataset.name, synthesizer="good", trials=1)
    request = service_pb2.CreateRunRequest(request_id="5a0b", spec=spec)
    first, second = runs.Create(request, timeout=60), runs.Create(request, timeout=60)
    assert first.name == second.name
    history = follow(Client(connection), first.name)
    assert (history.state, history.run.trials_ended) == ("COMPLETED", 1)
    assert runs.Create(request, timeout=60).state == service_pb2.RUN_STATE_COMPLETED


def test_validation_keeps_nothing(connection: Connection, dataset: service_pb2.Dataset) -> None:
    runs = service_pb2_grpc.RunsStub(connection.channel)
    before = runs.List(service_pb2.ListRunsRequest(), timeout=60)
    spec = service_pb2.RunSpec(dataset=dataset.name, trials=1)
    answer = runs.Create(service_pb2.CreateRunRequest(spec=spec, validate_only=True), timeout=60)
    assert answer.name == ""
    assert runs.List(service_pb2.ListRunsRequest(), timeout=60).runs[:1] == before.runs[:1]


def test_a_watch_goes_on_after_any_event(connection: Connection, client: Client, dataset: service_pb2.Dataset) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="good", trials=1).name)
    runs = service_pb2_grpc.RunsStub(connection.channel)
    for after in (0, 3, len(history.events)):
        request = service_pb2.WatchRunRequest(name=history.run.name, after_seq=after)
        rest = [response.event for response in runs.Watch(request, timeout=60)]
        assert rest == history.events[after:]


@pytest.mark.parametrize("most", [2, 7, 1000])
def test_events_come_many_a_message_where_asked(client: Client, dataset: service_pb2.Dataset, most: int) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="good", trials=2).name)
    responses = list(client.watch(history.run.name, most=most))
    assert [event for response in responses for event in (response.event, *response.more)] == history.events
    assert [1 + len(response.more) for response in responses[:-1]] == [most] * (len(responses) - 1)
    assert responses[-1].run.state == service_pb2.RUN_STATE_COMPLETED


def test_brief_events_leave_the_graphs_out(client: Client, dataset: service_pb2.Dataset) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="good", trials=1).name)
    brief = [response.event for response in client.watch(history.run.name, brief=True)]
    assert [event.seq for event in brief] == [event.seq for event in history.events]
    proposed = [event.search.proposed.candidates for event in brief if event.search.HasField("proposed")]
    assert [candidate.candidate.HasField("graph") for candidate in proposed[0]] == [False]
    assert [response.event for response in client.watch(history.run.name)] == history.events


def test_a_message_has_a_bound(client: Client, dataset: service_pb2.Dataset) -> None:
    run = follow(client, client.create(dataset.name, synthesizer="good", trials=1).name).run
    with pytest.raises(InvalidRequest, match="most"):
        list(client.watch(run.name, most=1001))


def test_calls_of_a_synthesizer_are_timed(client: Client, dataset: service_pb2.Dataset) -> None:
    follow(client, client.create(dataset.name, synthesizer="good", trials=1).name)
    info = next(info for info in client.synthesizers() if info.name == "good")
    found = {latency.method: latency for latency in info.latencies}
    assert found.keys() == {"Open", "Ingest", "Propose", "Assess"}
    assert all(latency.calls and 0.0 < latency.p50_ms <= latency.p99_ms for latency in found.values())


def test_whether_mirrors_keep_the_class_is_measured_once(
    connection: Connection, client: Client, images: Path, dataset: service_pb2.Dataset
) -> None:
    def said(**spec: Any) -> list[str]:
        history = follow(client, client.create(dataset.name, synthesizer="good", trials=1, **spec).name)
        assert history.state == "COMPLETED"
        lines = [event.log.text for event in history.events if event.WhichOneof("event") == "log"]
        return [line for line in lines if line.startswith("mirrored images")]

    before = client.register(str(images), seed=0)  # other runs of this engine may have measured it
    assert len(said()) == (not before.HasField("mirror_keeps_class"))
    assert client.register(str(images), seed=0).HasField("mirror_keeps_class")
    assert said() == said(mirror=service_pb2.RunSpec.MIRROR_NO) == []
    stub = service_pb2_grpc.DatasetsStub(connection.channel)
    described = stub.Describe(service_pb2.DescribeDatasetRequest(name=dataset.name))
    assert described.HasField("mirror_keeps_class")


def test_lists_come_in_pages(connection: Connection, client: Client, dataset: service_pb2.Dataset) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="good", trials=2).name)
    runs, models = service_pb2_grpc.RunsStub(connection.channel), service_pb2_grpc.ModelsStub(connection.channel)
    token, names = "", []
    while True:
        page = runs.List(service_pb2.ListRunsRequest(page_size=2, page_token=token), timeout=60)
        names += [run.name for run in page.runs]
        token = page.next_page_token
        if not token:
            break
    assert names == sorted(set(names), reverse=True)
    assert names[0] == history.run.name
    first = models.List(service_pb2.ListModelsRequest(parent=history.run.name, page_size=2), timeout=60)
    request = service_pb2.ListModelsRequest(parent=history.run.name, page_token=first.next_page_token)
    rest = models.List(request, timeout=60)
    assert [len(first.models), bool(first.next_page_token)] == [2, True]
    assert [model.trial for model in (*first.models, *rest.models)] == [f"t00000{number}" for number in range(1, 6)]


def test_metrics_and_graph_of_a_trial_are_kept(connection: Connection, client: Client, dataset) -> None:
    history = follow(client, client.create(dataset.name, synthesizer="good", trials=1).name)
    models = service_pb2_grpc.ModelsStub(connection.channel)
    name = f"{history.run.name}/models/t000001"
    measured = models.Metrics(service_pb2.ModelMetricsRequest(name=name), timeout=60).measured
    assert [m.epoch for m in measured] == sorted(m.epoch for m in measured)
    assert graph_from_proto(client.model(name).graph).output == "logits"
    with pytest.raises(IllegalTransition, match=history.run.model):
        client.download(name, None)  # type: ignore[arg-type]  # refused before anything is written


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("spec.dataset", {"dataset": "datasets/none", "trials": 1}),
        ("spec.synthesizer", {"synthesizer": "nobody", "trials": 1}),
        ("spec.wall_s", {}),
        ("spec.wall_s", {"wall_s": 1.0}),
        ("spec.trials", {"trials": 0}),
        ("spec.max_params", {"trials": 1, "max_params": 0}),
        ("spec.settings", {"synthesizer": "good", "trials": 1, "settings": {"patience": 0}}),
        ("spec.settings", {"synthesizer": "random", "trials": 1, "settings": {"speed": 3}}),
    ],
)
def test_a_bad_field_is_refused_by_its_path(connection, dataset, field: str, fields: dict[str, object]) -> None:
    spec = service_pb2.RunSpec(**({"dataset": dataset.name} | {k: v for k, v in fields.items() if k != "settings"}))
    spec.settings.update(fields.get("settings", {}))
    runs = service_pb2_grpc.RunsStub(connection.channel)
    with pytest.raises(InvalidRequest) as refused, told():
        runs.Create(service_pb2.CreateRunRequest(spec=spec), timeout=60)
    assert refused.value.field.startswith(field)


def test_a_bound_that_no_network_keeps_is_refused_with_the_one_needed(client: Client, dataset) -> None:
    with pytest.raises(UnsupportedProblem, match="raise max_params to at least"):
        client.create(dataset.name, synthesizer="random", trials=1, max_params=5)


def test_unknown_names_are_not_found(client: Client) -> None:
    for call in (lambda: client.get("runs/none"), lambda: client.model("runs/none/models/t000001")):
        with pytest.raises(NotFound, match="none"):
            call()
    with pytest.raises(InvalidRequest, match="runs/ID"):
        client.get("none")


def test_synthesizers_describe_themselves(client: Client) -> None:
    infos = {info.name: info for info in client.synthesizers()}
    assert infos["good"].description.summary == "For tests."
    assert "Random search" in infos["random"].description.summary
    assert infos["raising"].state in ("READY", "QUARANTINED")  # one that fails does not hide the others
