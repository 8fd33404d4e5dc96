"""Trials are a row each, with a column for whatever one of them has."""

from __future__ import annotations

import math
import sys

import pytest

from neunets.errors import NotReady
from neunets.lineage import lineage_to_proto
from neunets.morphisms import Widen, WidenKernel
from neunets.service.v1 import service_pb2 as pb
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_client import trials_frame

ENDED = pb.Model(
    trial="t000001",
    state=pb.TRIAL_STATE_ENDED,
    params=1000,
    flops=2000,
    rationale="a draw",
    recipe=synthesizer_pb2.Recipe(
        epochs=4.0, schedule=synthesizer_pb2.SCHEDULE_ONE_CYCLE, momentum=0.0, mirror=False, batch_size=64
    ),
    result=synthesizer_pb2.TrialEnded(
        state=synthesizer_pb2.TrialEnded.STATE_SUCCEEDED,
        metrics={"valid_loss": 0.5, "valid_accuracy": 0.75},
        device_s=1.5,
        peak_bytes=1 << 20,
    ),
)
RUNNING = pb.Model(
    trial="t000002",
    state=pb.TRIAL_STATE_RUNNING,
    params=10,
    final=True,
    recipe=synthesizer_pb2.Recipe(device_s=9.0),
)


def test_a_trial_is_a_row_under_its_name() -> None:
    frame = trials_frame([ENDED, RUNNING])
    assert (frame.index.name, list(frame.index)) == ("trial", ["t000001", "t000002"])
    assert list(frame.columns) == [
        "state", "final", "valid_accuracy", "valid_loss", "params", "flops", "device_s", "peak_bytes", "recipe_epochs",
        "recipe_schedule", "recipe_momentum", "recipe_batch_size", "recipe_mirror", "recipe_device_s", "parent",
        "lineage", "rationale",
    ]  # fmt: skip
    first = frame.loc["t000001"]
    assert (first["state"], first["valid_accuracy"], first["params"]) == ("SUCCEEDED", 0.75, 1000)
    assert (first["device_s"], first["peak_bytes"], first["rationale"]) == (1.5, 1 << 20, "a draw")
    assert (first["recipe_schedule"], first["recipe_momentum"], first["recipe_mirror"]) == ("ONE_CYCLE", 0.0, False)


def test_a_trial_names_its_parent_and_what_was_changed() -> None:
    lineage = lineage_to_proto([Widen("conv", 8), WidenKernel("conv", 5)])
    child = pb.Model(trial="t000003", parent="t000001", lineage=lineage)
    child.graph.input.shape.extend((8, 8, 1))
    frame = trials_frame([ENDED, child])
    assert list(frame["parent"].fillna("")) == ["", "t000001"]
    assert list(frame["lineage"].fillna("")) == ["", "widen conv to 8; widen kernel of conv to 5x5"]


def test_what_a_trial_does_not_have_is_not_a_number() -> None:
    frame = trials_frame([ENDED, RUNNING])
    second = frame.loc["t000002"]
    assert (second["state"], bool(second["final"])) == ("RUNNING", True)
    assert all(math.isnan(second[name]) for name in ("valid_accuracy", "device_s", "peak_bytes", "recipe_epochs"))
    assert frame["valid_accuracy"].dtype == float  # so that it can be plotted and sorted
    assert math.isnan(frame.loc["t000001", "recipe_device_s"])


def test_a_run_without_trials_has_an_empty_table() -> None:
    frame = trials_frame([])
    assert len(frame) == 0
    assert {"state", "params", "rationale"} <= set(frame.columns)


def test_without_pandas_its_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(NotReady, match=r"pip install 'neunets\[notebook\]'"):
        trials_frame([ENDED])
