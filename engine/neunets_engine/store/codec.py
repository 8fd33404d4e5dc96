"""Reading and writing the store's records within a transaction, and appending to a run's event log."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Final, TypeVar

from google.protobuf.message import Message

from neunets.errors import NotFound, Outdated
from neunets.sentences import sentence
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.lifecycle import FINAL, State, check_transition
from neunets_engine.store.environment import Reader, Writer
from neunets_engine.store.keys import numbered, scope_end, scoped

__all__ = [
    "append",
    "append_search",
    "check_etag",
    "get_run",
    "get_trial",
    "hears_of",
    "move",
    "put_run",
    "put_trial",
    "trials_of",
]

# The bound of the reason of a state, with what a plugin has said or printed.
REASON_BYTES: Final = 4096
Record = TypeVar("Record", bound=Message)


def _get(reader: Reader, table: str, key: bytes, kind: Callable[[], Record], what: str) -> Record:
    value = reader.get(table, key)
    if value is None:
        raise NotFound(f"no {what}")
    record = kind()
    record.ParseFromString(value)
    return record


def get_run(reader: Reader, run_id: str) -> store_pb2.RunRecord:
    """Raises: NotFound."""
    return _get(reader, "runs", run_id.encode(), store_pb2.RunRecord, f"run runs/{run_id}")


def put_run(writer: Writer, record: store_pb2.RunRecord) -> None:
    """The etag follows what a user decides on: specification and state, not the figures that grow by themselves."""
    run = record.run
    decided = run.spec.SerializeToString(deterministic=True) + bytes([run.state])
    run.etag = hashlib.sha256(decided).hexdigest()[:16]
    writer.put("runs", run.name.removeprefix("runs/").encode(), record.SerializeToString())


def check_etag(record: store_pb2.RunRecord, etag: str) -> None:
    """Raises: Outdated, unless `etag` is the run's or empty."""
    if etag and etag != record.run.etag:
        state = State(record.run.state).name
        raise Outdated(f"{record.run.name} has changed since it was read: it is {state}; read it again", state=state)


def get_trial(reader: Reader, run_id: str, trial: str) -> store_pb2.TrialRecord:
    """Raises: NotFound."""
    return _get(reader, "trials", scoped(run_id, trial), store_pb2.TrialRecord, f"trial {trial} in runs/{run_id}")


def put_trial(writer: Writer, trial: store_pb2.TrialRecord) -> None:
    writer.put("trials", scoped(trial.run, trial.trial), trial.SerializeToString())


def trials_of(reader: Reader, run_id: str) -> list[store_pb2.TrialRecord]:
    """All trials of a run, in the order in which they were proposed."""
    return [
        store_pb2.TrialRecord.FromString(value) for _, value in reader.scan("trials", scoped(run_id), scope_end(run_id))
    ]


def append(writer: Writer, record: store_pb2.RunRecord, event: service_pb2.RunEvent) -> None:
    """Add `event` to the log of the run, whose record the caller puts afterwards."""
    record.run.seq += 1
    event.seq = record.run.seq
    event.time.FromNanoseconds(time.time_ns())
    writer.put("events", numbered(_id(record), event.seq), event.SerializeToString())


def append_search(
    writer: Writer, record: store_pb2.RunRecord, event: synthesizer_pb2.Event, *, is_heard: bool = True
) -> None:
    """Add an event of the search; `ledger` finds it by the plugin's own sequence number.

    Not `is_heard`: the plugin does not know that kind of event, and hears nothing of it; then its number is 0.
    """
    record.search_seq += is_heard
    event.seq = record.search_seq if is_heard else 0
    event.time.FromNanoseconds(time.time_ns())
    append(writer, record, service_pb2.RunEvent(search=event))
    if is_heard:
        writer.put("ledger", numbered(_id(record), event.seq), event.SerializeToString())


def hears_of(record: store_pb2.RunRecord, trial: store_pb2.TrialRecord) -> bool:
    """Whether the run's plugin hears of a trial: of a user's own network only if it knows what that is."""
    return not trial.injected or synthesizer_pb2.CAPABILITY_INJECTED_CANDIDATES in record.capabilities


def move(writer: Writer, record: store_pb2.RunRecord, target: State, reason: str = "") -> None:
    """Change the state, with its event. Raises: IllegalTransition."""
    source = State(record.run.state)
    check_transition(record.run.name, source, target)
    if target is State.PAUSED:
        record.resume_to = source.value
    changed = service_pb2.StateChanged(to=target.value, reason=sentence(reason, REASON_BYTES))
    setattr(changed, "from", source.value)
    record.run.state = target.value
    record.run.reason = sentence(reason or record.verdict, REASON_BYTES)
    append(writer, record, service_pb2.RunEvent(state_changed=changed))
    if target in FINAL:
        record.run.end_time.FromNanoseconds(time.time_ns())


def _id(record: store_pb2.RunRecord) -> str:
    return record.run.name.removeprefix("runs/")
