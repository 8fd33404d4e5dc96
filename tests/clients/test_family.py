"""From which networks a network came: up the line for the best, as a tree for all."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from clients.conftest import Answering
from fakes import IMAGE, network
from neunets.errors import IllegalTransition
from neunets.lineage import lineage_to_proto
from neunets.morphisms import Deepen, Widen
from neunets.service.v1 import service_pb2 as pb
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import graph_to_proto
from neunets_client import Relative
from neunets_client.cli.models import family_tree
from neunets_client.family import relatives

Ask = Callable[[Callable[[Any], Any]], Any]
RUN = "runs/r"
GRAPH = graph_to_proto(network(IMAGE, 3, 8))
DEEPEN, WIDEN = Deepen("relu", "linear"), Widen("hidden", 12)


def model(trial: str, accuracy: float | None, parent: str = "", **fields: Any) -> pb.Model:
    made = pb.Model(name=f"{RUN}/models/{trial}", trial=trial, params=1000, graph=GRAPH, parent=parent, **fields)
    if accuracy is not None:
        made.result.CopyFrom(synthesizer_pb2.TrialEnded(metrics={"valid_accuracy": accuracy}))
    return made


FIRST = model("t1", 0.5)
CHILD = model("t2", 0.75, "t1", lineage=lineage_to_proto([DEEPEN, WIDEN]))
FAILED = model("t3", None, "t1", lineage=lineage_to_proto([WIDEN]))
GRANDCHILD = model("t4", 0.625, "t2")
FINAL = model("t5", 0.9, final_of="t4", final=True)
MODELS = {made.trial: made for made in (FIRST, CHILD, FAILED, GRANDCHILD, FINAL)}
LINE = (
    Relative("t1", "", (), 1000, 0.5, None),
    Relative("t2", "t1", ("deepen linear + relu behind relu", "widen hidden to 12"), 1000, 0.75, 0.25),
    Relative("t4", "t2", (), 1000, 0.625, -0.125),
)


@pytest.mark.parametrize(
    ("run", "asked"),
    [
        (pb.Run(name=RUN, model=f"{RUN}/models/t5", best_trial="t2"), ["t5", "t4", "t2", "t1"]),
        (pb.Run(name=RUN, best_trial="t4"), ["t4", "t2", "t1"]),
    ],
)
def test_the_line_goes_from_the_first_to_the_trial_of_the_best(
    ask: Ask, service: Answering, run: pb.Run, asked: list[str]
) -> None:
    service.on("Runs.Get", run)
    service.on("Models.Get", *(MODELS[trial] for trial in asked))
    assert ask(lambda client: client.lineage(RUN)) == LINE
    assert [request.name for request in service.asked[1:]] == [f"{RUN}/models/{trial}" for trial in asked]


def test_a_network_of_its_own_is_a_line_of_one(ask: Ask, service: Answering) -> None:
    service.on("Runs.Get", pb.Run(name=RUN, best_trial="t1"))
    service.on("Models.Get", FIRST)
    assert ask(lambda client: client.lineage(RUN)) == LINE[:1]


def test_a_run_without_a_result_has_no_line(ask: Ask, service: Answering) -> None:
    service.on("Runs.Get", pb.Run(name=RUN, state=pb.RUN_STATE_TRAINING))
    with pytest.raises(IllegalTransition, match="runs/r is TRAINING and has trained no network yet"):
        ask(lambda client: client.lineage(RUN))


def test_each_is_told_in_a_line() -> None:
    assert [relative.line() for relative in relatives(MODELS.values())] == [
        "t1 first of its line: 1,000 parameters, validation accuracy 0.5000",
        "t2 deepen linear + relu behind relu; widen hidden to 12: "
        "1,000 parameters, validation accuracy 0.7500, +0.2500",
        "t3 widen hidden to 12: 1,000 parameters",
        "t4 from t2, with weights of its own: 1,000 parameters, validation accuracy 0.6250, -0.1250",
    ]


def test_a_gain_over_what_was_not_measured_is_none() -> None:
    orphan = model("t9", 0.5, "t3")
    assert [relative.gain for relative in relatives([FAILED, orphan])] == [None, None]
    assert relatives([orphan])[0].gain is None


def test_the_population_is_a_tree() -> None:
    out, family = io.StringIO(), relatives(MODELS.values())
    Console(file=out, width=200).print(family_tree("r", family, {"t1", "t2", "t4"}))
    lines = out.getvalue().splitlines()
    depths = {line.split("t", 1)[1][0]: len(line) - len(line.lstrip("│├└─ ")) for line in lines[1:]}
    assert depths["1"] < depths["2"] == depths["3"] < depths["4"]
    assert lines[0] == "r"


def test_names_in_a_tree_are_no_markup() -> None:
    out, odd = io.StringIO(), replace(LINE[1], parent="", changes=("widen [bold]conv to 3",))
    Console(file=out, width=200).print(family_tree("r", [odd], set()))
    assert "[bold]conv" in out.getvalue()
