"""The contract's values survive the wire, and what this version does not know does not break it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neunets.errors import InvalidRequest
from neunets.graph import DataType, Input
from neunets.ops import OPERATORS
from neunets.synthesizer import api, wire
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.wire import input_to_proto
from strategies import graphs

NUMBERS = st.floats(allow_nan=False)
COUNTS = st.integers(0, 2**32 - 1)
TEXTS = st.text(max_size=20)
METRICS = st.dictionaries(st.sampled_from(("valid_accuracy", "train_loss")), st.floats())
INPUT = Input("image", (4, 4, 1), DataType.UINT8, (0.0,), (1.0,))


@st.composite
def recipes(draw: st.DrawFn) -> api.Recipe:
    """Any part of a recipe, zeros too."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        **dict.fromkeys(("learning_rate", "momentum", "weight_decay", "label_smoothing", "warmup"), NUMBERS),
        **dict.fromkeys(("batch_size", "shift"), COUNTS),
        "mirror": st.booleans(),
        "schedule": st.sampled_from(("one_cycle", "cosine_restarts", "constant")),
        "resume_trial": st.from_regex("t[0-9]{6}", fullmatch=True),
    }
    total = draw(st.sampled_from(("epochs", "device_s", None)))
    chosen = draw(st.fixed_dictionaries({total: NUMBERS} if total else {}, optional=fields))
    return api.Recipe(**chosen)


def candidates() -> st.SearchStrategy[api.Candidate]:
    return st.builds(
        api.Candidate,
        graph=graphs(),
        recipe=recipes(),
        rationale=TEXTS,
        local_id=TEXTS,
        parents=st.lists(TEXTS, max_size=2).map(tuple),
        labels=st.dictionaries(TEXTS, TEXTS, max_size=2),
    )


def equal(left: dict[str, float], right: dict[str, float]) -> bool:
    """With NaN equal to itself."""
    return left.keys() == right.keys() and all(
        left[key] == right[key] or (math.isnan(left[key]) and math.isnan(right[key])) for key in left
    )


@given(candidate=candidates())
def test_a_candidate_comes_back_as_it_was(candidate: api.Candidate) -> None:
    message = pb.Candidate.FromString(wire.candidate_to_proto(candidate).SerializeToString())
    assert wire.candidate_from_proto(message) == candidate


@given(recipe=recipes(), graph=graphs())
def test_of_a_recipe_none_is_unset_and_zero_is_zero(recipe: api.Recipe, graph: Any) -> None:
    message = wire.candidate_to_proto(api.Candidate(graph, recipe)).recipe
    for field in wire.RECIPE_FIELDS:
        value = getattr(recipe, field)
        assert message.HasField(field) == (value is not None)  # type: ignore[arg-type]
        assert value is None or getattr(message, field) == value


def test_every_field_of_a_recipe_crosses_the_wire() -> None:
    assert {*wire.RECIPE_FIELDS, "schedule", "resume_trial"} == set(api.Recipe.__dataclass_fields__)


@settings(max_examples=30)
@given(proposed=st.lists(candidates(), max_size=3))
def test_proposals_keep_their_order(proposed: list[api.Candidate]) -> None:
    sent = wire.outcome_to_proto(api.Proposals(tuple(proposed)), 7).SerializeToString()
    message = pb.ProposeResponse.FromString(sent)
    assert (message.WhichOneof("outcome"), message.based_on_seq) == ("proposals", 7)
    assert [wire.candidate_from_proto(each) for each in message.proposals.candidates] == proposed


def test_waiting_and_the_end_of_the_search_are_told() -> None:
    wait = wire.outcome_to_proto(api.Wait("all are training", 2, 1.5), 3)
    assert (wait.WhichOneof("outcome"), wait.based_on_seq) == ("wait", 3)
    assert (wait.wait.reason, wait.wait.min_new_results) == ("all are training", 2)
    assert wait.wait.after.ToMilliseconds() == 1500
    exhausted = wire.outcome_to_proto(api.Exhausted("no more"), 4)
    assert (exhausted.WhichOneof("outcome"), exhausted.exhausted.reason) == ("exhausted", "no more")


@settings(max_examples=30)
@given(proposed=st.lists(candidates(), max_size=3))
def test_proposed_candidates_come_back_with_their_ids(proposed: list[api.Candidate]) -> None:
    event = pb.Event()
    for number, candidate in enumerate(proposed):
        event.proposed.candidates.add(id=f"c{number}", candidate=wire.candidate_to_proto(candidate))
    event.proposed.request_id = "r"
    ids = tuple((f"c{number}", candidate) for number, candidate in enumerate(proposed))
    assert wire.event_from_proto(event) == api.Proposed(ids)


def test_rejections_and_starts_are_read() -> None:
    why = pb.Diagnostic(code="DUPLICATE", path="graph", summary="as c1")
    rejected = pb.Event(rejected=pb.Rejected(candidate="c2", why=[why]))
    assert wire.event_from_proto(rejected) == api.Rejected("c2", (("DUPLICATE", "graph", "as c1"),))
    started = pb.Event(started=pb.TrialStarted(candidate="c2", trial="t1", attempt=3))
    assert wire.event_from_proto(started) == api.TrialStarted("c2", "t1", 3)


@given(metrics=METRICS, epoch=NUMBERS)
def test_measurements_are_read_even_if_they_are_no_numbers(metrics: dict[str, float], epoch: float) -> None:
    event = wire.event_from_proto(pb.Event(measured=pb.Measured(trial="t1", epoch=epoch, metrics=metrics)))
    assert isinstance(event, api.Measured)
    assert (event.trial, event.epoch) == ("t1", epoch)
    assert equal(dict(event.metrics), metrics)


@given(metrics=METRICS, number=st.integers(0, 99), will_retry=st.booleans())
def test_the_end_of_a_trial_is_read_whatever_its_state(
    metrics: dict[str, float], number: int, will_retry: bool
) -> None:
    ended = pb.TrialEnded(candidate="c1", trial="t1", metrics=metrics, device_s=2.5, will_retry=will_retry)
    ended.state = pb.TrialEnded.State.ValueType(number)
    ended.error.summary = "it broke"
    event = wire.event_from_proto(pb.Event(ended=ended))
    assert isinstance(event, api.TrialEnded)
    known = {state.value: state for state in api.TrialState}
    assert event.state is known.get(number, api.TrialState.UNKNOWN)
    assert (event.candidate, event.trial, event.device_s, event.error) == ("c1", "t1", 2.5, "it broke")
    assert event.will_retry == will_retry
    assert equal(dict(event.metrics), metrics)


def test_the_states_of_a_trial_have_the_numbers_of_the_wire() -> None:
    names = {f"STATE_{state.name}" if state.value else "STATE_UNSPECIFIED": state.value for state in api.TrialState}
    assert names == dict(pb.TrialEnded.State.items())


@pytest.mark.parametrize("content", [b"", b"\x08\x01", b"\x7a\x02\x08\x01"], ids=["empty", "no kind", "a later kind"])
def test_an_unknown_kind_of_event_is_none(content: bytes) -> None:
    assert wire.event_from_proto(pb.Event.FromString(content)) is None


@given(verdict=st.sampled_from(api.Verdict), progress=st.none() | st.floats(), gain=st.none() | NUMBERS)
def test_an_assessment_has_its_progress_within_0_to_1(
    verdict: api.Verdict, progress: float | None, gain: float | None
) -> None:
    message = wire.assessment_to_proto(api.Assessment(verdict, progress, gain, "so it is"))
    assert pb.AssessResponse.Verdict.Name(message.verdict) == f"VERDICT_{verdict.name}"
    assert message.reason == "so it is"
    assert message.HasField("progress") == (progress is not None)
    assert 0.0 <= message.progress <= 1.0
    assert progress is None or not 0.0 <= progress <= 1.0 or message.progress == progress
    assert (message.expected_gain if message.HasField("expected_gain") else None) == gain


def test_whom_an_assessment_stops_and_by_which_rules_is_told() -> None:
    stop = (api.StopTrial("t000001", "hopeless", 0.7), api.StopTrial("t000002", "late"))
    message = wire.assessment_to_proto(
        api.Assessment(stop=stop, rules=(api.StopRule("valid_accuracy", 3.0, 0.5, "too low"),))
    )
    assert [(each.trial, each.reason, each.predicted.mean) for each in message.stop] == [
        ("t000001", "hopeless", 0.7),
        ("t000002", "late", 0.0),
    ]
    assert [each.HasField("predicted") for each in message.stop] == [True, False]
    (rule,) = message.rules
    assert (rule.metric, rule.epoch, rule.at_least, rule.reason) == ("valid_accuracy", 3.0, 0.5, "too low")


@pytest.mark.parametrize(
    ("declared", "capability"),
    [
        ({"hears_injected": True}, pb.CAPABILITY_INJECTED_CANDIDATES),
        ({"hears_budget": True}, pb.CAPABILITY_BUDGET_CHANGE),
        ({"inherits_weights": True}, pb.CAPABILITY_WEIGHT_INHERITANCE),
        ({"continues_trials": True}, pb.CAPABILITY_CONTINUATION),
        ({"stops_trials": True}, pb.CAPABILITY_STOP_TRIALS),
        ({"gives_rules": True}, pb.CAPABILITY_STOP_RULES),
    ],
)
def test_what_is_declared_is_a_capability(declared: dict[str, bool], capability: pb.Capability.ValueType) -> None:
    message = wire.description_to_proto(api.Description("mine", "1.2", "Searches.", is_deterministic=False, **declared))
    assert list(message.capabilities) == [capability]


def test_of_a_budget_unset_is_unlimited_and_zero_is_zero() -> None:
    assert wire.budget_from_proto(pb.Budget()) == api.Budget(slots=1)
    message = pb.Budget(slots=2, wall_s=60.0, wall_s_left=0.0, trials=5, trials_left=0)
    assert wire.budget_from_proto(message) == api.Budget(2, 60.0, 5, 0.0, 0)


def test_a_problem_has_the_hard_bounds_alone() -> None:
    message = pb.Problem(task="image-classification", input=input_to_proto(INPUT))
    message.dataset.MergeFrom(pb.DatasetProfile(classes=3, train_rows=90, valid_rows=10))
    message.constraints.add(metric="params", max=1000.0, hard=True)
    message.constraints.add(metric="flops", max=9.0)
    problem = wire.problem_from_proto(message)
    assert problem == api.Problem("image-classification", INPUT, 3, 90, 10, max_params=1000)


@pytest.mark.parametrize(("part", "field"), [("input", "problem.input"), ("dataset", "problem.dataset.classes")])
def test_a_problem_without_input_or_classes_is_refused(part: str, field: str) -> None:
    message = pb.Problem(input=input_to_proto(INPUT), dataset=pb.DatasetProfile(classes=2))
    message.ClearField(part)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest) as caught:
        wire.problem_from_proto(message)
    assert caught.value.field == field


def test_a_description_crosses_the_wire() -> None:
    message = wire.description_to_proto(api.Description("mine", "1.2", "Searches.", propose_p99_s=0.25))
    assert (message.name, message.version, message.summary, message.ready) == ("mine", "1.2", "Searches.", True)
    assert json.loads(message.settings_schema_json) == {"type": "object", "additionalProperties": False}
    assert list(message.capabilities) == [pb.CAPABILITY_DETERMINISTIC]
    assert list(message.graph_ops) == sorted(OPERATORS)
    assert message.propose_p99.ToMilliseconds() == 250
