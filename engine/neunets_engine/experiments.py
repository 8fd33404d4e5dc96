"""What earlier runs have learned, for the plugin of a run that asks: the best trials on the most similar data."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from neunets.messages import MESSAGE_BYTES
from neunets.service.v1 import service_pb2
from neunets.similarity import distances, features_of
from neunets.store.v1 import store_pb2
from neunets.synthesizer.past import wanted
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.lifecycle import FINAL, State
from neunets_engine.setting import Setting
from neunets_engine.store import DEFAULT_METRIC, Store, has_result

__all__ = ["query"]

# Records read at a time: nobody else reads the store meanwhile.
PAGE: Final = 64


@dataclass(frozen=True, slots=True)
class _Result:
    """Of a trial, by the objective."""

    run: service_pb2.Run
    trial: str
    value: float


async def query(
    store: Store, request: synthesizer_pb2.QueryExperimentsRequest
) -> synthesizer_pb2.QueryExperimentsResponse:
    """Raises: NotFound, InvalidRequest."""
    return await asyncio.to_thread(_answer, store, request)  # it may read every run


def _answer(store: Store, request: synthesizer_pb2.QueryExperimentsRequest) -> synthesizer_pb2.QueryExperimentsResponse:
    datasets, trials = wanted(request)
    asking = store.run(request.run.removeprefix("runs/")).run
    runs = dict[str, list[service_pb2.Run]]()
    for run in _runs(store):
        if _counts(run, asking):
            runs.setdefault(run.spec.dataset, []).append(run)
    answer = synthesizer_pb2.QueryExperimentsResponse()
    for name, distance in _nearest(store, asking.spec.dataset, list(runs)):
        chosen = [run for run in runs[name] if request.synthesizer in ("", run.spec.synthesizer)]
        results = (result for run in chosen for result in _results(store, run))
        best = heapq.nlargest(trials, results, key=lambda result: result.value)  # of equals, the older first
        if best:
            problem = Setting(runs[name][0].spec, store.dataset(name)).problem()
            past = [_past(store, result, request.without_graphs) for result in best]
            answer.experiences.add(input=problem.input, dataset=problem.dataset, distance=distance, trials=past)
        if len(answer.experiences) == datasets:
            break
    _shorten(answer)
    return answer


def _runs(store: Store) -> Iterator[service_pb2.Run]:
    """All, oldest first."""
    last = ""
    while page := store.runs(PAGE, last, oldest_first=True):
        yield from page
        last = _id(page[-1])


def _counts(run: service_pb2.Run, asking: service_pb2.Run) -> bool:
    """Whether the run was over before the asking one began, and strove for the same."""
    if State(run.state) not in FINAL or run.end_time.ToNanoseconds() >= asking.create_time.ToNanoseconds():
        return False
    return run.task == asking.task and _metric(run) == _metric(asking)


def _nearest(store: Store, own: str, known: Sequence[str]) -> list[tuple[str, float]]:
    """Data sets with their distances from the asking run's `own`, which is its nearest."""
    found = distances(_features(store, own), [_features(store, name) for name in known])
    return sorted(zip(known, found, strict=True), key=lambda each: (each[1], each[0] != own, each[0]))


def _features(store: Store, dataset: str) -> Mapping[str, float]:
    data = store.dataset(dataset)
    return features_of(data.meta_features, data.train_rows, len(data.classes), data.input.shape)


def _results(store: Store, run: service_pb2.Run) -> list[_Result]:
    """Of the search's networks; where trainings continue one another, of the last that has one."""
    found, continued, metric = dict[str, _Result](), dict[str, str](), _metric(run)
    for trial in _trials(store, _id(run)):
        if trial.continued:
            continued[trial.trial] = trial.continued
        value = trial.result.metrics.get(metric, math.nan)
        if trial.final_of or trial.injected or not has_result(trial) or not math.isfinite(value):
            continue
        earlier = trial.continued
        while earlier:
            found.pop(earlier, None)
            earlier = continued.get(earlier, "")
        found[trial.trial] = _Result(run, trial.trial, value)
    return list(found.values())


def _trials(store: Store, run_id: str) -> Iterator[store_pb2.TrialRecord]:
    last = ""
    while page := store.trials_after(run_id, last, PAGE):
        yield from page
        last = page[-1].trial


def _past(store: Store, result: _Result, without_graph: bool) -> synthesizer_pb2.PastTrial:
    record = store.trial(_id(result.run), result.trial)
    candidate = synthesizer_pb2.Candidate(
        graph=None if without_graph else record.graph,
        recipe=record.asked,
        rationale=record.rationale,
        labels=record.labels,
    )
    return synthesizer_pb2.PastTrial(
        run=_id(result.run),
        synthesizer=result.run.spec.synthesizer,
        candidate=candidate,
        metrics=record.result.metrics,
        device_s=record.result.device_s,
    )


def _shorten(answer: synthesizer_pb2.QueryExperimentsResponse) -> None:
    """To what a message holds: the last trials lose their graphs, then the last trials go."""
    size = answer.ByteSize()
    trials = [trial for experience in answer.experiences for trial in experience.trials]
    while size > MESSAGE_BYTES and trials:
        last = trials.pop()
        before = last.ByteSize()
        last.candidate.ClearField("graph")
        size -= before - last.ByteSize()
    while size > MESSAGE_BYTES:
        experience = answer.experiences[-1]
        size -= experience.trials.pop().ByteSize()
        if not experience.trials:
            size -= answer.experiences.pop().ByteSize()


def _metric(run: service_pb2.Run) -> str:
    return run.spec.metric or DEFAULT_METRIC


def _id(run: service_pb2.Run) -> str:
    return run.name.removeprefix("runs/")
