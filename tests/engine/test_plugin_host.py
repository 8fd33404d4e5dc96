"""What the engine's host answers a plugin: on morphisms of a graph or of a candidate of a run, and on earlier runs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fakes import IMAGE, network
from neunets.errors import InvalidRequest, NotFound
from neunets.graph import Node
from neunets.graph.v1 import graph_pb2
from neunets.lineage import lineage_to_proto
from neunets.morphisms import Deepen, Morphism, Widen, derive
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_from_proto, graph_to_proto
from neunets_engine.admission import Rules
from neunets_engine.experiments import query
from neunets_engine.plugins import PluginHost
from neunets_engine.store import Store

GRAPH = network(IMAGE, 3, 8)
LINEAGE = (Widen("hidden", 12, shares=0.5), Deepen("relu", "linear"))


def admitted(run: str, candidate: str) -> graph_pb2.Graph:
    """The one network of the one run."""
    if (run, candidate) != ("runs/r1", "c000001"):
        raise NotFound(f"{run} has admitted no candidate {candidate!r}")
    return graph_to_proto(GRAPH)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def host(store: Store) -> PluginHost:
    return PluginHost(lambda run: Rules(IMAGE, 3, None), admitted, partial(query, store))


async def applied(host: PluginHost, *lineage: Morphism, **base: Any) -> synthesizer_pb2.ApplyMorphsResponse:
    request = synthesizer_pb2.ApplyMorphsRequest(lineage=lineage_to_proto(lineage), **base)
    return await host.ApplyMorphs(request, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("base", [{"graph": graph_to_proto(GRAPH)}, {"run": "runs/r1", "candidate": "c000001"}])
async def test_a_lineage_is_applied_to_a_graph_or_a_candidate(host: PluginHost, base: dict[str, Any]) -> None:
    answer = await applied(host, *LINEAGE, **base)
    assert graph_from_proto(answer.graph) == derive(GRAPH, LINEAGE)
    assert not answer.diagnostics


async def test_no_step_leaves_the_graph_as_it_is(host: PluginHost) -> None:
    assert graph_from_proto((await applied(host, graph=graph_to_proto(GRAPH))).graph) == GRAPH


async def test_a_refused_step_is_a_diagnostic_in_place_of_a_graph(host: PluginHost) -> None:
    answer = await applied(host, LINEAGE[0], Widen("hidden", 12), run="runs/r1", candidate="c000001")
    (why,) = answer.diagnostics
    assert (why.code, why.path) == ("BAD_MORPH", "lineage[1]")
    assert "it is 12 wide already" in why.summary
    assert not answer.HasField("graph")


async def test_an_unknown_candidate_is_not_found(host: PluginHost) -> None:
    with pytest.raises(NotFound, match="runs/r1 has admitted no candidate 'c000002'"):
        await applied(host, *LINEAGE, run="runs/r1", candidate="c000002")


async def test_without_a_base_nothing_is_applied(host: PluginHost) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await applied(host, *LINEAGE, run="runs/r1")
    assert caught.value.field == "base"


async def test_a_graph_that_is_none_is_refused(host: PluginHost) -> None:
    broken = graph_to_proto(GRAPH)
    broken.nodes[1].inputs[0] = "nowhere"
    with pytest.raises(InvalidRequest, match="nowhere") as caught:
        await applied(host, *LINEAGE, graph=broken)
    assert caught.value.field == "graph"


async def test_the_bounds_of_a_run_are_left_to_its_candidates(host: PluginHost) -> None:
    """A graph of other classes, which no candidate may be, is morphed all the same."""
    graph = network(IMAGE, 7, 8)
    answer = await applied(host, Widen("hidden", 9), graph=graph_to_proto(graph))
    (logits,) = (node for node in graph_from_proto(answer.graph).nodes if node.name == "logits")
    assert logits == Node("logits", "linear", ("relu",), {"units": 7})


async def registered(host: PluginHost, name: str, endpoint: str, **fields: Any) -> None:
    token, _ = host.issue(name)
    request = synthesizer_pb2.RegisterRequest(token=token, endpoint=endpoint, protocol_majors=[1], **fields)
    request.self.name = name
    await host.Register(request, None)  # type: ignore[arg-type]


async def test_an_endpoint_belongs_to_one_plugin_that_is_up(host: PluginHost, tmp_path: Path) -> None:
    (tmp_path / "plugin.sock").touch()
    (tmp_path / "other.sock").symlink_to(tmp_path / "plugin.sock")
    await registered(host, "one", f"unix:{tmp_path}/plugin.sock")
    for name in ("plugin.sock", "./plugin.sock", "other.sock"):
        with pytest.raises(InvalidRequest, match=r"is that of one: listen on a socket of your own") as caught:
            await registered(host, "two", f"unix:{tmp_path}/{name}")
        assert caught.value.field == "endpoint"
    await registered(host, "one", f"unix:{tmp_path}/plugin.sock")  # a new process of the same plugin
    host.forget("one")
    await registered(host, "two", f"unix:{tmp_path}/plugin.sock")


async def test_a_plugin_that_wants_no_runs_says_so_and_is_told_so(host: PluginHost) -> None:
    async def renewed(*, draining: bool) -> bool:
        request = synthesizer_pb2.RenewRequest(plugin="one", draining=draining)
        return (await host.Renew(request, None)).please_drain  # type: ignore[arg-type]

    await registered(host, "one", "unix:/s")
    assert not await renewed(draining=True)
    assert host.is_leaving("one")
    host.drains = lambda plugin: plugin == "one"
    assert await renewed(draining=False)
    assert not host.is_leaving("one")


async def test_a_plugin_describes_itself_as_it_registers(host: PluginHost) -> None:
    token, _ = host.issue("mute")
    request = synthesizer_pb2.RegisterRequest(token=token, endpoint="unix:/s", protocol_majors=[1])
    with pytest.raises(InvalidRequest, match="a plugin describes itself") as caught:
        await host.Register(request, None)  # type: ignore[arg-type]
    assert caught.value.field == "self"


async def learned(host: PluginHost, **fields: Any) -> synthesizer_pb2.QueryExperimentsResponse:
    request = synthesizer_pb2.QueryExperimentsRequest(**fields)
    return await host.QueryExperiments(request, None)  # type: ignore[arg-type]


async def test_a_run_may_ask_what_earlier_ones_have_learned(host: PluginHost, store: Store) -> None:
    await store.put_dataset(service_pb2.Dataset(name="datasets/d"))
    await store.create_run(service_pb2.Run(name="runs/r1", spec=service_pb2.RunSpec(dataset="datasets/d")), "")
    for name in ("r1", "runs/r1"):
        assert await learned(host, run=name, datasets=64, trials=64) == synthesizer_pb2.QueryExperimentsResponse()


async def test_a_run_that_is_none_learns_nothing(host: PluginHost) -> None:
    with pytest.raises(NotFound, match="runs/r2"):
        await learned(host, run="r2")


@pytest.mark.parametrize("field", ["datasets", "trials"])
async def test_more_than_a_message_is_for_is_refused(host: PluginHost, field: str) -> None:
    with pytest.raises(InvalidRequest, match="65: at most 64") as caught:
        await learned(host, run="r1", **{field: 65})
    assert caught.value.field == field
