"""The service API beside creating and watching, against a real engine: what a client may do to runs and models."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from engines import History, engine, follow
from fakes import IMAGE, network
from neunets.errors import IllegalTransition, InvalidRequest, NotFound, Outdated, RequestReused
from neunets.graph.v1 import graph_pb2
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets.status import rpc_error
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_to_proto
from neunets_client.client import Client
from neunets_client.connection import Connection

DEADLINE_S = 30.0
QUICK = synthesizer_pb2.Recipe(epochs=2.0, learning_rate=0.02)


@contextmanager
def raised() -> Iterator[None]:
    """A status becomes the error that the engine raised."""
    try:
        yield
    except grpc.RpcError as raw:
        raise rpc_error(raw) from raw


class Api:
    """The stubs, and what the tests ask for again and again."""

    def __init__(self, connection: Connection) -> None:
        self.runs = service_pb2_grpc.RunsStub(connection.channel)
        self.models = service_pb2_grpc.ModelsStub(connection.channel)
        self.synthesizers = service_pb2_grpc.SynthesizersStub(connection.channel)

    def inject(self, run: str, graph: graph_pb2.Graph, request_id: str = "") -> service_pb2.InjectCandidateResponse:
        request = service_pb2.InjectCandidateRequest(
            name=run, request_id=request_id or str(uuid.uuid4()), graph=graph, recipe=QUICK, rationale="mine"
        )
        with raised():
            return self.runs.InjectCandidate(request, timeout=DEADLINE_S)

    def listed(self, **fields: str | int) -> list[str]:
        with raised():
            return [run.name for run in self.runs.List(service_pb2.ListRunsRequest(**fields), timeout=DEADLINE_S).runs]


@pytest.fixture
def api(connection: Connection) -> Api:
    return Api(connection)


@pytest.fixture(scope="session")
def done(client: Client, dataset: service_pb2.Dataset) -> History:
    """A run that has come to its model."""
    return follow(client, client.create(dataset.name, synthesizer="good", trials=2).name)


def hidden(units: int) -> graph_pb2.Graph:
    """Without its input, whose statistics the data set knows."""
    graph = graph_to_proto(network(IMAGE, 4, units))
    graph.ClearField("input")
    return graph


def searching(client: Client, dataset: service_pb2.Dataset) -> service_pb2.Run:
    """A run whose search goes on until somebody ends it: its synthesizer waits."""
    run = client.create(dataset.name, synthesizer="waiting", trials=9)
    for response in client.watch(run.name):
        if response.run.state == service_pb2.RUN_STATE_PROPOSING:
            return response.run
    raise AssertionError("it ended")


def finish(client: Client, run: str) -> History:
    client.stop(run, service_pb2.StopRunRequest.MODE_FINISH)
    return follow(client, run)


class TestBudget:
    def test_it_is_changed_while_the_search_goes_on(
        self, api: Api, client: Client, dataset: service_pb2.Dataset
    ) -> None:
        run = searching(client, dataset)
        request = service_pb2.UpdateBudgetRequest(name=run.name, etag=run.etag, trials=12, wall_s=600.0)
        changed = api.runs.UpdateBudget(request, timeout=DEADLINE_S)
        assert (changed.spec.trials, changed.spec.wall_s) == (12, 600.0)
        assert api.runs.UpdateBudget(request, timeout=DEADLINE_S).spec == changed.spec  # asked again
        request.trials = 13
        with pytest.raises(Outdated), raised():
            api.runs.UpdateBudget(request, timeout=DEADLINE_S)  # with the etag from before
        history = finish(client, run.name)
        updates = [event.budget_updated for event in history.events if event.HasField("budget_updated")]
        assert [(update.trials, update.wall_s) for update in updates] == [(12, 600.0)]

    def test_a_lower_number_of_trials_ends_the_search(
        self, api: Api, client: Client, dataset: service_pb2.Dataset
    ) -> None:
        run = searching(client, dataset)
        api.inject(run.name, hidden(31))
        request = service_pb2.UpdateBudgetRequest(name=run.name, trials=1)
        api.runs.UpdateBudget(request, timeout=DEADLINE_S)
        assert follow(client, run.name).state == "COMPLETED"

    @pytest.mark.parametrize(
        ("fields", "field"), [({}, "wall_s"), ({"wall_s": 1.0}, "wall_s"), ({"trials": 0}, "trials")]
    )
    def test_a_bad_one_is_refused(
        self, api: Api, client: Client, dataset: service_pb2.Dataset, fields: dict[str, float], field: str
    ) -> None:
        run = searching(client, dataset)
        with pytest.raises(InvalidRequest, match=field), raised():
            api.runs.UpdateBudget(service_pb2.UpdateBudgetRequest(name=run.name, **fields), timeout=DEADLINE_S)
        client.stop(run.name, service_pb2.StopRunRequest.MODE_ABORT)

    def test_of_an_ended_run_it_is_refused(self, api: Api, done: History) -> None:
        with pytest.raises(IllegalTransition, match="COMPLETED"), raised():
            api.runs.UpdateBudget(service_pb2.UpdateBudgetRequest(name=done.run.name, trials=9), timeout=DEADLINE_S)


class TestStopping:
    def test_a_completed_run_cannot_be_stopped(self, client: Client, done: History) -> None:
        with pytest.raises(IllegalTransition, match="COMPLETED"):
            client.stop(done.run.name, service_pb2.StopRunRequest.MODE_FINISH)


class TestInjection:
    def test_a_users_network_is_trained_and_may_win(
        self, api: Api, client: Client, dataset: service_pb2.Dataset
    ) -> None:
        run = searching(client, dataset)
        request_id = str(uuid.uuid4())
        first = api.inject(run.name, hidden(40), request_id)
        assert api.inject(run.name, hidden(40), request_id) == first
        with pytest.raises(RequestReused):
            api.inject(run.name, hidden(41), request_id)
        with pytest.raises(InvalidRequest, match="same network"):
            api.inject(run.name, hidden(40))
        for response in client.watch(run.name):
            if response.run.trials_ended == 1:
                break
        history = finish(client, run.name)
        assert history.state == "STOPPED"
        assert history.run.best_trial == first.model.rpartition("/")[2]
        injected = [event.injected.candidate for event in history.search if event.HasField("injected")]
        assert [(entry.id, entry.candidate.rationale) for entry in injected] == [(first.candidate, "mine")]
        # The plugin never declared that it understands such a thing, so it has heard of none of it.
        assert {event.seq for event in history.search if event.HasField("ended")} == {0}
        listed = api.models.List(
            service_pb2.ListModelsRequest(parent=run.name, filter="injected = true AND final = false"),
            timeout=DEADLINE_S,
        )
        assert [model.name for model in listed.models] == [first.model]

    def test_a_bad_network_is_refused_with_the_node(
        self, api: Api, client: Client, dataset: service_pb2.Dataset
    ) -> None:
        run = searching(client, dataset)
        broken = hidden(8)
        broken.nodes[1].inputs[0] = "nowhere"
        with pytest.raises(InvalidRequest, match="nowhere"):
            api.inject(run.name, broken)
        request = service_pb2.InjectCandidateRequest(name=run.name, request_id="x")
        with pytest.raises(InvalidRequest, match="needs a graph"), raised():
            api.runs.InjectCandidate(request, timeout=DEADLINE_S)
        client.stop(run.name, service_pb2.StopRunRequest.MODE_ABORT)

    def test_of_an_ended_run_it_is_refused(self, api: Api, done: History) -> None:
        with pytest.raises(IllegalTransition, match="start another run"):
            api.inject(done.run.name, hidden(40))


class TestDeletion:
    def test_a_deleted_run_is_gone_with_its_files(
        self, api: Api, client: Client, dataset: service_pb2.Dataset, home: Path
    ) -> None:
        run = follow(client, client.create(dataset.name, synthesizer="good", trials=1, seed=77).name).run
        model = client.model(run.model)
        onnx = next(artifact.ref.sha256 for artifact in model.artifacts if artifact.file == "model.onnx")
        path = home / "artifacts" / onnx[:2] / onnx
        assert path.exists()
        with pytest.raises(Outdated), raised():
            api.runs.Delete(service_pb2.DeleteRunRequest(name=run.name, etag="another"), timeout=DEADLINE_S)
        api.runs.Delete(service_pb2.DeleteRunRequest(name=run.name, etag=run.etag), timeout=DEADLINE_S)
        with pytest.raises(NotFound):
            client.get(run.name)
        assert run.name not in api.listed(page_size=1000)
        assert not path.exists()

    def test_files_that_another_run_has_too_stay(
        self, api: Api, client: Client, dataset: service_pb2.Dataset, tmp_path: Path
    ) -> None:
        first, second = (
            follow(client, client.create(dataset.name, synthesizer="good", trials=1, seed=78).name).run
            for _ in range(2)
        )
        api.runs.Delete(service_pb2.DeleteRunRequest(name=first.name), timeout=DEADLINE_S)
        assert client.download(second.model, tmp_path)

    def test_a_running_one_is_not_deleted(self, api: Api, client: Client, dataset: service_pb2.Dataset) -> None:
        run = searching(client, dataset)
        with pytest.raises(IllegalTransition, match="stop it"), raised():
            api.runs.Delete(service_pb2.DeleteRunRequest(name=run.name), timeout=DEADLINE_S)
        client.stop(run.name, service_pb2.StopRunRequest.MODE_ABORT)


class TestLists:
    def test_runs_are_filtered_and_ordered(self, api: Api, done: History) -> None:
        completed = api.listed(filter="state = COMPLETED AND synthesizer = good", page_size=1000)
        assert done.run.name in completed
        assert done.run.name not in api.listed(filter="state = FAILED", page_size=1000)
        oldest_first = api.listed(
            filter="state = COMPLETED AND synthesizer = good", order_by="create_time", page_size=1000
        )
        assert oldest_first == completed[::-1]

    def test_pages_of_a_filtered_list_join(self, api: Api, done: History) -> None:
        names, token = [], ""
        while True:
            request = service_pb2.ListRunsRequest(page_size=1, page_token=token, filter="synthesizer = good")
            page = api.runs.List(request, timeout=DEADLINE_S)
            names += [run.name for run in page.runs]
            token = page.next_page_token
            if not token:
                break
        assert names == api.listed(filter="synthesizer = good", page_size=1000)

    def test_models_are_ordered_by_their_metric(self, api: Api, done: History) -> None:
        request = service_pb2.ListModelsRequest(parent=done.run.name, order_by="metric desc", filter="final = false")
        models = api.models.List(request, timeout=DEADLINE_S).models
        values = [model.result.metrics["valid_accuracy"] for model in models]
        assert len(values) == 2
        assert values == sorted(values, reverse=True)

    @pytest.mark.parametrize(
        "fields", [{"filter": "colour = red"}, {"order_by": "etag"}, {"page_token": "x"}, {"page_size": 1001}]
    )
    def test_a_bad_request_names_its_field(self, api: Api, fields: dict[str, str | int]) -> None:
        with pytest.raises(InvalidRequest, match=next(iter(fields))):
            api.listed(**fields)


class TestModels:
    def test_metrics_are_watched_to_the_end(self, api: Api, done: History) -> None:
        name = f"{done.run.name}/models/{done.run.best_trial}"
        whole = list(api.models.WatchMetrics(service_pb2.WatchMetricsRequest(name=name), timeout=DEADLINE_S))
        kept = api.models.Metrics(service_pb2.ModelMetricsRequest(name=name), timeout=DEADLINE_S).measured
        assert [response.measured for response in whole] == list(kept)
        assert [response.count for response in whole] == list(range(1, len(kept) + 1))
        rest = list(api.models.WatchMetrics(service_pb2.WatchMetricsRequest(name=name, after=1), timeout=DEADLINE_S))
        assert rest == whole[1:]
        with pytest.raises(InvalidRequest, match="after"), raised():
            list(api.models.WatchMetrics(service_pb2.WatchMetricsRequest(name=name, after=99), timeout=DEADLINE_S))

    def test_two_are_compared(self, api: Api, client: Client, done: History) -> None:
        names = [model.name for model in client.models(done.run.name) if not model.final]
        found = api.models.Compare(service_pb2.CompareModelsRequest(names=names), timeout=DEADLINE_S)
        changed = [(change.node, change.field) for change in found.diffs[0].changed]
        assert changed == [("hidden", "units")]
        rows = {row.name: row.values for row in found.figures}
        assert not any(map(math.isnan, rows["valid_accuracy"]))
        with pytest.raises(InvalidRequest, match="names"), raised():
            api.models.Compare(service_pb2.CompareModelsRequest(names=names[:1]), timeout=DEADLINE_S)


class TestDraining:
    def test_a_draining_synthesizer_takes_no_runs_and_ends(self, tmp_path: Path, images: Path) -> None:
        home = tmp_path / "home"
        with engine(home) as connection:
            client, api = Client(connection), Api(connection)
            dataset = client.register(str(images), seed=0)
            run = searching(client, dataset)
            drain = service_pb2.DrainSynthesizerRequest(name="waiting")
            info = api.synthesizers.Drain(drain, timeout=DEADLINE_S)
            assert (info.state, info.open_runs) == ("DRAINING", 1)
            with pytest.raises(IllegalTransition, match="draining"):
                client.create(dataset.name, synthesizer="waiting", trials=1)
            api.inject(run.name, hidden(8))
            for response in client.watch(run.name):  # the run that it has goes on
                if response.run.trials_ended == 1:
                    break
            assert finish(client, run.name).state == "STOPPED"
        with engine(home) as connection:  # it is not forgotten
            client, api = Client(connection), Api(connection)
            with pytest.raises(IllegalTransition, match="draining"):
                client.create(dataset.name, synthesizer="waiting", trials=1)
            info = api.synthesizers.Drain(
                service_pb2.DrainSynthesizerRequest(name="waiting", resume=True), timeout=DEADLINE_S
            )
            assert info.state == "INSTALLED"
            client.stop(searching(client, dataset).name, service_pb2.StopRunRequest.MODE_ABORT)
