"""What the engine keeps. Each method is one transaction: a state and its event are written together or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from google.protobuf.message import Message

from neunets.errors import IllegalTransition, NotFound, NotReady, RequestReused
from neunets.messages import MESSAGE_BYTES, fitting
from neunets.sentences import sentence
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.lifecycle import ACTIVE, FINAL, State
from neunets_engine.store import codec, runs, trials
from neunets_engine.store.environment import EPOCH_KEY, SCHEMA_VERSION, Environment, Reader, Writer
from neunets_engine.store.keys import numbered, scope_end, scoped
from neunets_engine.store.synthesizers import SynthesizerStore
from neunets_engine.store.trials import Wanted

__all__ = ["Store"]

REQUEST_LIFE_S: Final = 24 * 3600.0
# The bound of a line of a run's log.
LINE_BYTES: Final = 1024

Result = TypeVar("Result")


class Store:
    """The runs, trials, events and data sets of one engine."""

    def __init__(self, folder: Path) -> None:
        self._env = Environment(folder)
        self._watchers: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()  # as long as one waits
        self.synthesizers = SynthesizerStore(self._env)

    def close(self) -> None:
        self._env.close()

    def reader_slots(self) -> int:
        """As `Environment.reader_slots`."""
        return self._env.reader_slots()

    async def take_epoch(self, fenced: Callable[[], None] = lambda: None) -> int:
        """Check the schema, and take the next fencing epoch: an older engine's calls are refused from now on.

        `fenced` is called, in another thread, when a later engine has taken over: nothing is written any more.
        """

        def work(writer: Writer) -> int:
            version = int(writer.get("meta", b"schema_version") or SCHEMA_VERSION)
            if version < 2:
                writer.seal_all()
            if version > SCHEMA_VERSION:
                raise NotReady(f"the store has schema {version}, this engine knows {SCHEMA_VERSION}: update the engine")
            epoch = int(writer.get("meta", EPOCH_KEY) or 0) + 1
            writer.put("meta", b"schema_version", str(SCHEMA_VERSION).encode())
            writer.put("meta", EPOCH_KEY, str(epoch).encode())
            return epoch

        epoch = await self._env.write(work)
        self._env.fence(epoch, fenced)
        return epoch

    async def probe(self) -> None:
        """Read and write, durably. Raises: what every read or write would."""
        self.runs(1)
        await self._env.write(lambda writer: writer.put("meta", b"probe", b""))

    def changes(self, run_id: str) -> asyncio.Event:
        """An event that is set by the next write to the run; ask for it before reading."""
        return self._watchers.setdefault(run_id, asyncio.Event())

    async def _change(self, run_id: str, work: Callable[[Writer], Result]) -> Result:
        """Write, then wake those who watch the run."""
        result = await self._env.write(work)
        watched = self._watchers.pop(run_id, None)
        if watched is not None:
            watched.set()
        return result

    # Data sets

    async def put_dataset(self, dataset: service_pb2.Dataset) -> service_pb2.Dataset:
        """Returns: it, with what was measured of the same data before."""

        def work(writer: Writer) -> service_pb2.Dataset:
            kept = service_pb2.Dataset()
            kept.CopyFrom(dataset)
            before = writer.get("datasets", dataset.name.encode())
            known = service_pb2.Dataset.FromString(before) if before is not None else kept
            if known.HasField("mirror_keeps_class") and not kept.HasField("mirror_keeps_class"):
                kept.mirror_keeps_class = known.mirror_keeps_class
            writer.put("datasets", dataset.name.encode(), kept.SerializeToString())
            return kept

        return await self._env.write(work)

    def dataset(self, name: str) -> service_pb2.Dataset:
        """Raises: NotFound."""
        with self._env.read() as reader:
            value = reader.get("datasets", name.encode())
        if value is None:
            raise NotFound(f"no data set {name!r}: register it first")
        return service_pb2.Dataset.FromString(value)

    # Runs

    async def create_run(
        self,
        run: service_pb2.Run,
        request_id: str,
        capabilities: Sequence[synthesizer_pb2.Capability.ValueType] = (),
    ) -> service_pb2.Run:
        """Keep a new run, or return the one that this request made before. `capabilities`: of its plugin.

        Raises: RequestReused if the id came with another body within 24 h; NotFound if its run was deleted.
        """
        body = _digest(run.spec)

        def work(writer: Writer) -> service_pb2.Run:
            known = _answered(writer, request_id, body)
            if known is not None:
                return codec.get_run(writer, known.run).run
            record = store_pb2.RunRecord(run=run, capabilities=capabilities)
            record.run.state = State.VALIDATING.value
            codec.append(
                writer,
                record,
                service_pb2.RunEvent(state_changed=service_pb2.StateChanged(to=State.VALIDATING.value)),
            )
            codec.put_run(writer, record)
            if request_id:
                request = store_pb2.RequestRecord(body_sha256=body, run=_run_id(run), time=time.time())
                writer.put("requests", request_id.encode(), request.SerializeToString())
            return record.run

        return await self._env.write(work)

    def run(self, run_id: str) -> store_pb2.RunRecord:
        """Raises: NotFound."""
        with self._env.read() as reader:
            return codec.get_run(reader, run_id)

    def runs(
        self,
        count: int,
        last: str = "",
        matches: Callable[[service_pb2.Run], bool] = lambda run: True,
        oldest_first: bool = False,
    ) -> list[service_pb2.Run]:
        """At most `count` runs that match, newest first or oldest first, behind run `last` (empty: from the first)."""
        found: list[service_pb2.Run] = []
        with self._env.read() as reader:
            start = last.encode()
            forth = reader.scan("runs", start + b"\0" if start else b"", b"\xff")
            for _, value in forth if oldest_first else reader.scan_back("runs", start or None):
                if len(found) == count:
                    break
                run = store_pb2.RunRecord.FromString(value).run
                if matches(run):
                    found.append(run)
        return found

    def unfinished(self) -> list[str]:
        """Ids of the runs that a starting engine takes up again, oldest first."""
        with self._env.read() as reader:
            records = [store_pb2.RunRecord.FromString(value) for _, value in reader.scan("runs", b"", b"\xff")]
        return [_run_id(record.run) for record in records if State(record.run.state) in ACTIVE]

    async def move(self, run_id: str, target: State, reason: str = "") -> store_pb2.RunRecord:
        """Raises: IllegalTransition."""

        def work(writer: Writer) -> store_pb2.RunRecord:
            record = codec.get_run(writer, run_id)
            if State(record.run.state) is not target:
                codec.move(writer, record, target, reason)
                codec.put_run(writer, record)
            return record

        return await self._change(run_id, work)

    async def request_stop(self, run_id: str, mode: service_pb2.StopRunRequest.Mode.ValueType) -> store_pb2.RunRecord:
        """Note that the run is to be stopped. Raises: IllegalTransition where it has ended."""

        def work(writer: Writer) -> store_pb2.RunRecord:
            record = codec.get_run(writer, run_id)
            state = State(record.run.state)
            if state is State.STOPPED:  # asked again: the answer was lost
                return record
            if state in FINAL:
                raise IllegalTransition(f"runs/{run_id} is {state.name}: it cannot be stopped", state=state.name)
            record.stop = mode
            if state is not State.STOPPING:
                codec.move(writer, record, State.STOPPING, "asked to stop")
            codec.put_run(writer, record)
            return record

        return await self._change(run_id, work)

    async def resume(self, run_id: str) -> store_pb2.RunRecord:
        """A PAUSED run goes back to the state it was paused in. Raises: IllegalTransition."""

        def work(writer: Writer) -> store_pb2.RunRecord:
            record = codec.get_run(writer, run_id)
            state = State(record.run.state)
            if state is not State.PAUSED:
                raise IllegalTransition(f"runs/{run_id} is {state.name}: only a PAUSED run resumes", state=state.name)
            codec.move(writer, record, State(record.resume_to), "resumed")
            codec.put_run(writer, record)
            return record

        return await self._change(run_id, work)

    async def update_budget(
        self, run_id: str, etag: str, spec: service_pb2.RunSpec, budget: synthesizer_pb2.Budget
    ) -> store_pb2.RunRecord:
        """As `runs.update_budget`."""
        return await self._change(run_id, lambda writer: runs.update_budget(writer, run_id, etag, spec, budget))

    async def inject(
        self, trial: store_pb2.TrialRecord, candidate: synthesizer_pb2.Candidate, digest: str, request_id: str
    ) -> None:
        """As `runs.inject`, noted under `request_id`."""
        request = store_pb2.RequestRecord(body_sha256=_digest(candidate), run=trial.run, time=time.time())
        request.trial = trial.trial
        work = partial(runs.inject, trial=trial, candidate=candidate, digest=digest, request=(request_id, request))
        await self._change(trial.run, work)

    def injected(self, run_id: str, candidate: synthesizer_pb2.Candidate, request_id: str) -> str:
        """The trial that this request has injected before; empty: none.

        Raises: RequestReused if the id came with another body within 24 h.
        """
        with self._env.read() as reader:
            known = _answered(reader, request_id, _digest(candidate))
        if known is not None and known.run != run_id:
            raise RequestReused(f"request_id {request_id} was used for runs/{known.run}: take a new one")
        return known.trial if known is not None else ""

    async def delete_run(self, run_id: str, etag: str) -> None:
        """As `runs.delete`."""
        await self._change(run_id, lambda writer: runs.delete(writer, run_id, etag))

    async def sweep(self, remove: Callable[[str], None]) -> None:
        """`remove` every artifact, by its SHA-256, that only deleted runs referred to."""
        condemned = await self._env.write(runs.pardon)

        def remove_all() -> None:
            for digest in condemned:
                remove(digest)

        def forget(writer: Writer) -> None:
            for digest in condemned:
                writer.delete("condemned", digest.encode())

        if condemned:
            await asyncio.to_thread(remove_all)
            await self._env.write(forget)

    async def tick(self, wall_s: Mapping[str, float], peak_bytes: int) -> None:
        """Keep the used wall seconds of running runs; they only grow."""

        def work(writer: Writer) -> None:
            for run_id, used in wall_s.items():
                record = codec.get_run(writer, run_id)
                record.run.wall_s = max(record.run.wall_s, used)
                record.run.peak_bytes = max(record.run.peak_bytes, peak_bytes)
                codec.put_run(writer, record)

        if wall_s:
            await self._env.write(work)

    async def log(self, run_id: str, source: str, level: str, text: str) -> None:
        def work(writer: Writer) -> None:
            record = codec.get_run(writer, run_id)
            line = service_pb2.LogLine(source=source, level=level, text=sentence(text, LINE_BYTES))
            codec.append(writer, record, service_pb2.RunEvent(log=line))
            codec.put_run(writer, record)

        await self._change(run_id, work)

    async def record_fault(self, run_id: str, fault: service_pb2.SynthesizerFault) -> None:
        def work(writer: Writer) -> None:
            record = codec.get_run(writer, run_id)
            codec.append(writer, record, service_pb2.RunEvent(synthesizer_fault=fault))
            codec.put_run(writer, record)

        await self._change(run_id, work)

    async def record_verdict(
        self, run_id: str, verdict: service_pb2.Verdict | None, words: str, *, goes_on: bool
    ) -> None:
        """Keep a verdict, if there was one, with what is said of it; if the search `goes_on`, ASSESSING is over."""

        def work(writer: Writer) -> None:
            record = codec.get_run(writer, run_id)
            if verdict is not None:
                codec.append(writer, record, service_pb2.RunEvent(verdict=verdict))
                record.verdict = record.run.reason = words
            if goes_on and State(record.run.state) is State.ASSESSING:
                codec.move(writer, record, State.PROPOSING)
            codec.put_run(writer, record)

        await self._change(run_id, work)

    # Events

    def events(
        self, run_id: str, after: int, count: int = 500, most_bytes: int = MESSAGE_BYTES
    ) -> list[service_pb2.RunEvent]:
        """The events after the `after`th, in order: at most `count`, of what a message holds."""
        found = self._numbered("events", run_id, after, count, most_bytes)
        return [service_pb2.RunEvent.FromString(value) for value in found]

    def search_events(self, run_id: str, after: int, count: int = 500) -> list[synthesizer_pb2.Event]:
        """Those of the plugin's own log after the `after`th, in order: at most `count`, of what a message holds."""
        return [synthesizer_pb2.Event.FromString(value) for value in self._numbered("ledger", run_id, after, count)]

    def _numbered(
        self, table: str, run_id: str, after: int, count: int, most_bytes: int = MESSAGE_BYTES
    ) -> list[bytes]:
        with self._env.read() as reader:
            rows = reader.scan(table, numbered(run_id, after + 1), scope_end(run_id))
            return fitting((value for _, value in rows), len, count, most_bytes)

    # Candidates and trials

    def hashes(self, run_id: str) -> dict[str, str]:
        """Canonical hash → candidate id of all networks that the run admitted."""
        prefix = scoped(run_id)
        with self._env.read() as reader:
            rows = reader.scan("hashes", prefix, scope_end(run_id))
            return {key[len(prefix) :].decode(): value.decode() for key, value in rows}

    async def record_proposals(
        self,
        run_id: str,
        proposed: synthesizer_pb2.Proposed,
        admitted: Sequence[tuple[store_pb2.TrialRecord, str]],
        rejected: Sequence[synthesizer_pb2.Rejected],
    ) -> None:
        """Keep an answer of Propose before anything acts on it: its candidates, their trials and rejections.

        `admitted`: each trial with the canonical hash of its graph.
        """

        def work(writer: Writer) -> None:
            record = codec.get_run(writer, run_id)
            codec.append_search(writer, record, synthesizer_pb2.Event(proposed=proposed))
            record.proposed += len(proposed.candidates)
            record.proposals += 1
            for refusal in rejected:
                codec.append_search(writer, record, synthesizer_pb2.Event(rejected=refusal))
                record.run.rejected += 1
            for trial, digest in admitted:
                codec.put_trial(writer, trial)
                if not trial.continued:
                    writer.put("hashes", scoped(run_id, digest), trial.candidate.encode())
                record.trials += 1
            record.rejected_in_a_row = 0 if admitted else record.rejected_in_a_row + len(rejected)
            codec.put_run(writer, record)

        await self._change(run_id, work)

    async def begin_search(self, run_id: str, began_s: float) -> None:
        """Note that a worker is ready, after so many wall seconds."""

        def work(writer: Writer) -> None:
            record = codec.get_run(writer, run_id)
            record.began_s = began_s
            codec.put_run(writer, record)

        await self._change(run_id, work)

    async def note_wait(self, run_id: str, reason: str) -> None:
        """The synthesizer asks to wait for this, which its log has as well."""

        def work(writer: Writer) -> None:
            record = codec.get_run(writer, run_id)
            record.waits_for = reason
            line = service_pb2.LogLine(source="synthesizer", level="info", text=f"waits: {reason}")
            codec.append(writer, record, service_pb2.RunEvent(log=line))
            codec.put_run(writer, record)

        await self._change(run_id, work)

    async def end_search(self, run_id: str, why: str) -> None:
        """`why`: in a sentence; empty: the budget is used. What was said first stays."""

        def work(writer: Writer) -> None:
            record = codec.get_run(writer, run_id)
            record.search_end = record.search_end if record.search_over else why
            record.search_over = True
            codec.put_run(writer, record)

        await self._change(run_id, work)

    async def plan_finals(self, run_id: str, planned: Sequence[store_pb2.TrialRecord]) -> None:
        """Keep final trainings of the run, which were decided on its present number of trials."""

        def work(writer: Writer) -> None:
            record = codec.get_run(writer, run_id)
            for trial in planned:
                record.final_trials.append(trial.trial)
                record.trials += 1
                codec.put_trial(writer, trial)
                event = service_pb2.FinalTraining(trial=trial.trial, of=trial.final_of, recipe=trial.recipe)
                codec.append(writer, record, service_pb2.RunEvent(final_training=event))
            codec.put_run(writer, record)

        await self._change(run_id, work)

    async def plan_pick(self, planned: store_pb2.TrialRecord) -> None:
        """Keep the trial that measures what a user has picked."""

        def work(writer: Writer) -> None:
            record = codec.get_run(writer, planned.run)
            record.trials += 1
            codec.put_trial(writer, planned)
            codec.put_run(writer, record)

        await self._change(planned.run, work)

    async def pick(self, run_id: str, trial: str) -> None:
        """As `trials.pick`."""
        await self._change(run_id, lambda writer: trials.pick(writer, run_id, trial))

    def trial(self, run_id: str, trial: str) -> store_pb2.TrialRecord:
        """Raises: NotFound."""
        with self._env.read() as reader:
            return codec.get_trial(reader, run_id, trial)

    def trials(self, run_id: str) -> list[store_pb2.TrialRecord]:
        """In the order in which they were proposed. Raises: NotFound."""
        return list(self.trials_after(run_id, ""))

    def trials_after(self, run_id: str, last: str, count: int | None = None) -> list[store_pb2.TrialRecord]:
        """At most `count` trials behind trial `last` (empty: from the first), in their order. Raises: NotFound."""
        with self._env.read() as reader:
            codec.get_run(reader, run_id)
            rows = reader.scan("trials", scoped(run_id, f"{last}\0" if last else ""), scope_end(run_id))
            return [store_pb2.TrialRecord.FromString(value) for _, value in itertools.islice(rows, count)]

    def last_trials(self, run_id: str, count: int) -> list[store_pb2.TrialRecord]:
        """At most `count`, the last first."""
        with self._env.read() as reader:
            rows = reader.scan_back("trials", scope_end(run_id))
            last = itertools.takewhile(lambda row: row[0].startswith(scoped(run_id)), itertools.islice(rows, count))
            return [store_pb2.TrialRecord.FromString(value) for _, value in last]

    async def lease(
        self, run_id: str, worker: str, device: str, wanted: Sequence[Wanted]
    ) -> list[store_pb2.TrialRecord]:
        """As `trials.lease`."""
        return await self._change(run_id, lambda writer: trials.lease(writer, run_id, worker, device, wanted))

    async def report(
        self, run_id: str, attempt: int, step: int, measured: synthesizer_pb2.Measured, news: store_pb2.TrialRecord
    ) -> bool:
        """As `trials.report`."""
        return await self._change(run_id, lambda writer: trials.report(writer, run_id, attempt, step, measured, news))

    def metrics(self, run_id: str, trial: str) -> list[synthesizer_pb2.Measured]:
        """Every measurement of a trial, oldest first."""
        start = scoped(run_id, f"{trial}/")
        with self._env.read() as reader:
            rows = reader.scan("metrics", start, scoped(run_id, f"{trial}0"))
            return [synthesizer_pb2.Measured.FromString(value) for _, value in rows]

    async def release(self, run_id: str, *ended: synthesizer_pb2.TrialEnded) -> list[bool]:
        """As `trials.release`."""
        return await self._change(run_id, lambda writer: trials.release(writer, run_id, ended))

    async def cancel(self, run_id: str, *states: service_pb2.TrialState.ValueType) -> None:
        """As `trials.cancel`."""
        await self._change(run_id, lambda writer: trials.cancel(writer, run_id, *states))

    async def keep_model(
        self, run_id: str, trial: str, artifacts: Sequence[service_pb2.Artifact], figures: Mapping[str, float]
    ) -> None:
        """As `trials.keep_model`."""
        await self._change(run_id, lambda writer: trials.keep_model(writer, run_id, trial, artifacts, figures))

    async def keep_variants(
        self,
        run_id: str,
        trial: str,
        artifacts: Sequence[service_pb2.Artifact],
        variants: Sequence[service_pb2.Variant],
    ) -> None:
        """As `trials.keep_variants`."""
        await self._change(run_id, lambda writer: trials.keep_variants(writer, run_id, trial, artifacts, variants))


def _answered(reader: Reader, request_id: str, body_sha256: str) -> store_pb2.RequestRecord | None:
    """What this request was answered within the last 24 h. Raises: RequestReused for another body."""
    known = reader.get("requests", request_id.encode()) if request_id else None
    request = store_pb2.RequestRecord.FromString(known or b"")
    if known is None or time.time() - request.time >= REQUEST_LIFE_S:
        return None
    if request.body_sha256 != body_sha256:
        raise RequestReused(f"request_id {request_id} was used with another body: take a new one")
    return request


def _digest(body: Message) -> str:
    return hashlib.sha256(body.SerializeToString(deterministic=True)).hexdigest()


def _run_id(run: service_pb2.Run) -> str:
    return run.name.removeprefix("runs/")
