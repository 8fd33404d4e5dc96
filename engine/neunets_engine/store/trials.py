"""What happens to a trial: each function is the body of one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.store import codec
from neunets_engine.store.environment import Writer
from neunets_engine.store.keys import numbered

__all__ = [
    "DEFAULT_METRIC",
    "WORKER_LOST",
    "Wanted",
    "cancel",
    "has_result",
    "is_current",
    "keep_model",
    "keep_variants",
    "lease",
    "pick",
    "release",
    "report",
]

# Code of a loss that counts against the network: its worker ended, not the engine.
WORKER_LOST: Final = "WORKER_LOST"
DEFAULT_METRIC: Final = "valid_accuracy"


class Wanted(NamedTuple):
    """A trial to be leased with its complete recipe, a step in at least `parts`."""

    trial: str
    recipe: synthesizer_pb2.Recipe
    parts: int = 1


def lease(
    writer: Writer, run_id: str, worker: str, device: str, wanted: Sequence[Wanted]
) -> list[store_pb2.TrialRecord]:
    """A worker takes those of the trials that are WAITING; their attempts grow."""
    record = codec.get_run(writer, run_id)
    taken = []
    for trial, recipe, parts in wanted:
        found = codec.get_trial(writer, run_id, trial)
        if found.state != service_pb2.TRIAL_STATE_WAITING:
            continue
        found.state = service_pb2.TRIAL_STATE_RUNNING
        found.attempt += 1
        found.worker = worker
        found.recipe.CopyFrom(recipe)
        found.accumulate = max(found.accumulate, parts)
        codec.put_trial(writer, found)
        record.run.trials_running += 1
        started = synthesizer_pb2.TrialStarted(
            candidate=found.candidate, trial=trial, attempt=found.attempt, device=device
        )
        heard = codec.hears_of(record, found)
        codec.append_search(writer, record, synthesizer_pb2.Event(started=started), is_heard=heard)
        taken.append(found)
    codec.put_run(writer, record)
    return taken


def report(
    writer: Writer,
    run_id: str,
    attempt: int,
    step: int,
    measured: synthesizer_pb2.Measured,
    news: store_pb2.TrialRecord,
) -> bool:
    """Keep a measurement and, of `news`, the device seconds and the checkpoint. False: not the current attempt.

    A step that an earlier attempt has measured already is kept once: the curve is the same.
    """
    trial = codec.get_trial(writer, run_id, measured.trial)
    if not is_current(trial, attempt):
        return False
    trial.device_s = max(trial.device_s, news.device_s)
    if news.HasField("checkpoint"):
        trial.checkpoint.CopyFrom(news.checkpoint)
    codec.put_trial(writer, trial)
    key = numbered(run_id, step, measured.trial)
    if writer.get("metrics", key) is None and measured.metrics:
        writer.put("metrics", key, measured.SerializeToString())
        if "valid_accuracy" in measured.metrics:
            record = codec.get_run(writer, run_id)
            heard = codec.hears_of(record, trial)
            codec.append_search(writer, record, synthesizer_pb2.Event(measured=measured), is_heard=heard)
            codec.put_run(writer, record)
    return True


def release(writer: Writer, run_id: str, ended: Sequence[synthesizer_pb2.TrialEnded]) -> list[bool]:
    """End attempts: for good, or (`will_retry`) the trial waits again. False for each that was not the current one."""
    record = codec.get_run(writer, run_id)
    kept = [_release(writer, record, each) for each in ended]
    if any(kept):
        codec.put_run(writer, record)
    return kept


def _release(writer: Writer, record: store_pb2.RunRecord, ended: synthesizer_pb2.TrialEnded) -> bool:
    found = codec.get_trial(writer, record.run.name.removeprefix("runs/"), ended.trial)
    if not is_current(found, ended.attempt):
        return False
    record.run.trials_running -= 1
    found.worker = ""
    found.device_s = max(found.device_s, ended.device_s)
    if ended.will_retry:
        found.state = service_pb2.TRIAL_STATE_WAITING
        if ended.state == synthesizer_pb2.TrialEnded.STATE_LOST:
            found.losses += ended.error.code == WORKER_LOST
        else:
            found.accumulate = 2 * max(found.accumulate, 1)
            found.halvings += 1
    else:
        found.state = service_pb2.TRIAL_STATE_ENDED
        found.result.CopyFrom(ended)
        _count(record, found)
    codec.put_trial(writer, found)
    heard = codec.hears_of(record, found)
    codec.append_search(writer, record, synthesizer_pb2.Event(ended=ended), is_heard=heard)
    return True


def cancel(writer: Writer, run_id: str, *states: service_pb2.TrialState.ValueType) -> None:
    """End every trial of the run that is in one of `states` (WAITING, RUNNING)."""
    record = codec.get_run(writer, run_id)
    for trial in codec.trials_of(writer, run_id):
        if trial.state not in states:
            continue
        record.run.trials_running -= trial.state == service_pb2.TRIAL_STATE_RUNNING
        ended = synthesizer_pb2.TrialEnded(
            candidate=trial.candidate,
            trial=trial.trial,
            attempt=trial.attempt,
            state=synthesizer_pb2.TrialEnded.STATE_CANCELLED,
            device_s=trial.device_s,
        )
        trial.state = service_pb2.TRIAL_STATE_ENDED
        trial.result.CopyFrom(ended)
        codec.put_trial(writer, trial)
        heard = codec.hears_of(record, trial)
        codec.append_search(writer, record, synthesizer_pb2.Event(ended=ended), is_heard=heard)
    codec.put_run(writer, record)


def keep_model(
    writer: Writer, run_id: str, trial: str, artifacts: Sequence[service_pb2.Artifact], figures: Mapping[str, float]
) -> None:
    """The exported files of a trial, with the run's pointer to them."""
    found = codec.get_trial(writer, run_id, trial)
    del found.artifacts[:], found.variants[:]  # of an export that an engine made before it ended
    found.artifacts.extend(artifacts)
    found.figures.update(figures)
    codec.put_trial(writer, found)
    pick(writer, run_id, trial)


def pick(writer: Writer, run_id: str, trial: str) -> None:
    """An exported trial becomes the run's model."""
    record = codec.get_run(writer, run_id)
    record.run.model = f"runs/{run_id}/models/{trial}"
    exported = service_pb2.ModelExported(model=record.run.model)
    codec.append(writer, record, service_pb2.RunEvent(model_exported=exported))
    codec.put_run(writer, record)


def keep_variants(
    writer: Writer,
    run_id: str,
    trial: str,
    artifacts: Sequence[service_pb2.Artifact],
    variants: Sequence[service_pb2.Variant],
) -> None:
    """All files of an exported trial and all its other formats, in place of those that it has."""
    found = codec.get_trial(writer, run_id, trial)
    del found.artifacts[:], found.variants[:]
    found.artifacts.extend(artifacts)
    found.variants.extend(variants)
    codec.put_trial(writer, found)


def has_result(trial: store_pb2.TrialRecord) -> bool:
    """Whether the trial has ended with a trained network."""
    ends = synthesizer_pb2.TrialEnded
    return trial.result.state in (ends.STATE_SUCCEEDED, ends.STATE_STOPPED)


def is_current(trial: store_pb2.TrialRecord, attempt: int) -> bool:
    """Whether the attempt is the one that trains: all others are fenced off."""
    return trial.attempt == attempt and trial.state == service_pb2.TRIAL_STATE_RUNNING


def _count(record: store_pb2.RunRecord, trial: store_pb2.TrialRecord) -> None:
    """Count a search trial that has ended; the best one is the first with the highest value of the run's metric."""
    if trial.final_of:
        return
    run, result = record.run, trial.result
    run.trials_ended += 1
    if has_result(trial):
        metric = run.spec.metric or DEFAULT_METRIC
        value = result.metrics[metric] if metric in result.metrics else float("nan")
        better = not run.HasField("best_metric") or value > run.best_metric
        # Trials end in any order: of equals, the one that was proposed first.
        tie = run.best_metric == value and trial.trial < run.best_trial
        if value == value and (better or tie) and "weights" in result.artifacts:
            run.best_metric = value
            run.best_trial = trial.trial
    else:
        run.trials_failed += 1
