"""Settings that the schema does not know are refused or told; a problem without a task is refused."""

from __future__ import annotations

import pytest

from fakes import IMAGE
from neunets.errors import InvalidRequest
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.synthesizer.wire import problem_from_proto, unknown_settings
from neunets.wire import input_to_proto

RATE = {"rate": {"type": "number"}}


def test_settings_of_the_schema_are_known() -> None:
    assert unknown_settings({"rate": 0.1}, {"properties": RATE, "additionalProperties": False}) == []


def test_a_schema_that_forbids_other_settings_refuses_them_by_name() -> None:
    with pytest.raises(InvalidRequest) as raised:
        unknown_settings({"rate": 0.1, "speed": 1}, {"properties": RATE, "additionalProperties": False})
    assert raised.value.field == "settings.speed"


def test_a_schema_that_says_nothing_warns() -> None:
    (warning,) = unknown_settings({"speed": 1}, {"properties": RATE})
    assert (warning.code, warning.path) == ("UNKNOWN_SETTING", "settings.speed")
    assert warning.severity == pb.Diagnostic.SEVERITY_WARNING


@pytest.mark.parametrize("more", [{"additionalProperties": True}, {"patternProperties": {"^s": {}}}])
def test_a_schema_that_allows_other_settings_knows_all(more: dict[str, object]) -> None:
    assert unknown_settings({"speed": 1}, {"properties": RATE} | more) == []


def test_a_problem_needs_a_task() -> None:
    problem = pb.Problem(input=input_to_proto(IMAGE), dataset=pb.DatasetProfile(classes=3))
    with pytest.raises(InvalidRequest) as raised:
        problem_from_proto(problem)
    assert raised.value.field == "problem.task"
