"""The contract's values to messages and back."""

from __future__ import annotations

import json
from collections.abc import Mapping

from google.protobuf import json_format

from neunets import lineage  # not its names: it imports the messages of this package, and may be half loaded
from neunets.errors import InvalidRequest
from neunets.hyperparameters import HYPERPARAMETERS, TOTALS, recipe_schema
from neunets.ops import OPERATORS
from neunets.synthesizer import api
from neunets.synthesizer.v1 import synthesizer_pb2 as pb
from neunets.wire import graph_from_proto, graph_to_proto, input_from_proto

__all__ = [
    "assessment_to_proto",
    "budget_from_proto",
    "candidate_from_proto",
    "candidate_to_proto",
    "description_to_proto",
    "event_from_proto",
    "outcome_to_proto",
    "problem_from_proto",
    "settings_from_proto",
    "unknown_settings",
]

RECIPE_FIELDS = (*TOTALS, *HYPERPARAMETERS)


def description_to_proto(description: api.Description) -> pb.DescribeResponse:
    message = pb.DescribeResponse(
        name=description.name,
        version=description.version,
        summary=description.summary,
        settings_schema_json=json.dumps(description.settings, default=dict),
        tasks=description.tasks,
        graph_ops=sorted(OPERATORS),
        max_open_runs=1024,
        max_batch=description.max_batch,
        ready=True,
    )
    declared = {
        pb.CAPABILITY_DETERMINISTIC: description.is_deterministic,
        pb.CAPABILITY_INJECTED_CANDIDATES: description.hears_injected,
        pb.CAPABILITY_BUDGET_CHANGE: description.hears_budget,
        pb.CAPABILITY_WEIGHT_INHERITANCE: description.inherits_weights,
        pb.CAPABILITY_CONTINUATION: description.continues_trials,
        pb.CAPABILITY_STOP_TRIALS: description.stops_trials,
        pb.CAPABILITY_STOP_RULES: description.gives_rules,
        pb.CAPABILITY_PREDICTION: description.predicts,
    }
    message.capabilities.extend(capability for capability, has_it in declared.items() if has_it)
    message.propose_p99.FromMilliseconds(int(1000 * description.propose_p99_s))
    message.open_p99.FromSeconds(5)
    return message


def problem_from_proto(message: pb.Problem) -> api.Problem:
    """Raises: InvalidRequest for a missing field, InvalidGraph for a bad input."""
    if not message.HasField("input"):
        raise InvalidRequest("problem.input", "unset")
    if message.dataset.classes < 2:
        raise InvalidRequest("problem.dataset.classes", "at least 2")
    if not message.task:
        raise InvalidRequest("problem.task", "unset")
    dataset = message.dataset
    bounds = {bound.metric: int(bound.max) for bound in message.constraints if bound.hard and bound.HasField("max")}
    return api.Problem(
        task=message.task,
        input=input_from_proto(message.input),
        classes=message.dataset.classes,
        train_rows=message.dataset.train_rows,
        valid_rows=message.dataset.valid_rows,
        max_params=bounds.get("params"),
        max_flops=bounds.get("flops"),
        metric=next((objective.metric for objective in message.objectives if objective.maximize), "valid_accuracy"),
        mirror_keeps_class=dataset.mirror_keeps_class if dataset.HasField("mirror_keeps_class") else None,
        class_rows=tuple(dataset.class_rows),
        meta_features=dict(dataset.meta_features),
        recipe_schema=_schema(message.recipe_schema_json),
    )


def _schema(text: str) -> Mapping[str, object]:
    """Of a recipe; an engine that sends none takes what a recipe can hold. Raises: InvalidRequest."""
    try:
        schema: Mapping[str, object] = json.loads(text) if text else recipe_schema({}, is_image=True)
    except ValueError as error:
        raise InvalidRequest("problem.recipe_schema_json", f"no JSON: {error}") from error
    return schema


def settings_from_proto(request: pb.OpenRequest) -> Mapping[str, object]:
    settings: Mapping[str, object] = json_format.MessageToDict(request.settings)
    return settings


def unknown_settings(settings: Mapping[str, object], schema: Mapping[str, object]) -> list[pb.Diagnostic]:
    """Warnings of settings that the schema does not know; whoever checks them against it has refused them before.

    Raises: InvalidRequest if the schema forbids them.
    """
    properties = schema.get("properties", {})
    known = properties if isinstance(properties, Mapping) else {}
    others = schema.get("additionalProperties")
    if others or "patternProperties" in schema:
        return []
    unknown = sorted(set(settings) - set(known))
    if unknown and others is False:
        raise InvalidRequest(f"settings.{unknown[0]}", f"there is no such setting; known: {', '.join(known) or 'none'}")
    warning = pb.Diagnostic.SEVERITY_WARNING
    return [
        pb.Diagnostic(
            severity=warning, code="UNKNOWN_SETTING", path=f"settings.{name}"[:256], summary="it has no effect"
        )
        for name in unknown
    ]


def budget_from_proto(message: pb.Budget) -> api.Budget:
    return api.Budget(
        slots=max(1, message.slots),
        wall_s=message.wall_s if message.HasField("wall_s") else None,
        trials=message.trials if message.HasField("trials") else None,
        wall_s_left=message.wall_s_left if message.HasField("wall_s_left") else None,
        trials_left=message.trials_left if message.HasField("trials_left") else None,
        slot_flops=message.slot_flops if message.HasField("slot_flops") else None,
    )


def candidate_to_proto(candidate: api.Candidate) -> pb.Candidate:
    given = {field: value for field in RECIPE_FIELDS if (value := getattr(candidate.recipe, field)) is not None}
    recipe = pb.Recipe(**given, resume_trial=candidate.recipe.resume_trial or "")
    if candidate.recipe.schedule is not None:
        recipe.schedule = pb.Schedule.Value(f"SCHEDULE_{candidate.recipe.schedule.upper()}")
    return pb.Candidate(
        local_id=candidate.local_id,
        parents=candidate.parents,
        graph=None if candidate.graph is None else graph_to_proto(candidate.graph),
        lineage=lineage.lineage_to_proto(candidate.lineage),
        recipe=recipe,
        prediction=_prediction_to_proto(candidate.prediction),
        rationale=candidate.rationale,
        labels=candidate.labels,
    )


def _prediction_to_proto(said: api.Prediction | None) -> pb.Prediction | None:
    return None if said is None else pb.Prediction(metric=said.metric, mean=said.mean, stddev=said.deviation)


def candidate_from_proto(message: pb.Candidate) -> api.Candidate:
    given = {field: getattr(message.recipe, field) for field in RECIPE_FIELDS if message.recipe.HasField(field)}  # type: ignore[arg-type]
    if message.recipe.schedule in pb.Schedule.values()[1:]:
        given["schedule"] = pb.Schedule.Name(message.recipe.schedule).removeprefix("SCHEDULE_").lower()
    recipe = api.Recipe(**given, resume_trial=message.recipe.resume_trial or None)
    return api.Candidate(
        graph=graph_from_proto(message.graph) if message.HasField("graph") else None,
        lineage=lineage.lineage_from_proto(message.lineage),
        recipe=recipe,
        rationale=message.rationale,
        local_id=message.local_id,
        parents=tuple(message.parents),
        labels=dict(message.labels),
        prediction=_prediction_from_proto(message.prediction) if message.HasField("prediction") else None,
    )


def _prediction_from_proto(message: pb.Prediction) -> api.Prediction:
    return api.Prediction(message.mean, message.stddev if message.HasField("stddev") else None, message.metric)


def outcome_to_proto(outcome: api.Proposals | api.Wait | api.Exhausted, based_on_seq: int) -> pb.ProposeResponse:
    message = pb.ProposeResponse(based_on_seq=based_on_seq)
    if isinstance(outcome, api.Proposals):
        message.proposals.candidates.extend(map(candidate_to_proto, outcome.candidates))
    elif isinstance(outcome, api.Wait):
        message.wait.min_new_results = outcome.min_new_results
        message.wait.reason = outcome.reason
        message.wait.after.FromMilliseconds(int(1000 * outcome.after_s))
    else:
        message.exhausted.reason = outcome.reason
    return message


def event_from_proto(message: pb.Event) -> api.Event | None:
    """None for a kind of event that this version does not know."""
    match message.WhichOneof("event"):
        case "proposed":
            return api.Proposed(
                tuple((entry.id, candidate_from_proto(entry.candidate)) for entry in message.proposed.candidates)
            )
        case "injected":
            entry = message.injected.candidate
            return api.Injected(entry.id, candidate_from_proto(entry.candidate))
        case "budget_changed":
            return api.BudgetChanged(budget_from_proto(message.budget_changed.budget))
        case "rejected":
            why = tuple((entry.code, entry.path, entry.summary) for entry in message.rejected.why)
            return api.Rejected(message.rejected.candidate, why)
        case "started":
            return api.TrialStarted(message.started.candidate, message.started.trial, message.started.attempt)
        case "measured":
            return api.Measured(message.measured.trial, message.measured.epoch, dict(message.measured.metrics))
        case "ended":
            return _ended_from_proto(message.ended)
        case _:
            return None


def _ended_from_proto(message: pb.TrialEnded) -> api.TrialEnded:
    known = {state.value: state for state in api.TrialState}
    return api.TrialEnded(
        candidate=message.candidate,
        trial=message.trial,
        state=known.get(message.state, api.TrialState.UNKNOWN),
        metrics=dict(message.metrics),
        device_s=message.device_s,
        will_retry=message.will_retry,
        error=message.error.summary,
    )


def assessment_to_proto(assessment: api.Assessment) -> pb.AssessResponse:
    message = pb.AssessResponse(
        verdict=pb.AssessResponse.Verdict.ValueType(assessment.verdict.value), reason=assessment.reason
    )
    if assessment.progress is not None:
        message.progress = min(1.0, max(0.0, assessment.progress))
    if assessment.expected_gain is not None:
        message.expected_gain = assessment.expected_gain
    for stopped in assessment.stop:
        entry = message.stop.add(trial=stopped.trial, reason=stopped.reason)
        if stopped.predicted is not None:
            entry.predicted.mean = stopped.predicted
    for rule in assessment.rules:
        message.rules.add(metric=rule.metric, epoch=rule.epoch, at_least=rule.at_least, reason=rule.reason)
    return message
