"""What a user does to a run that is there already: each function is the body of one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from neunets.errors import IllegalTransition
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.lifecycle import ACTIVE, State
from neunets_engine.store import codec
from neunets_engine.store.environment import Writer
from neunets_engine.store.keys import scope_end, scoped

__all__ = ["check_searches", "delete", "inject", "pardon", "update_budget"]

# Tables whose keys begin with a run's id.
OF_A_RUN = ("trials", "events", "ledger", "metrics", "hashes")
SEARCHES = frozenset(ACTIVE - {State.FINALIZING, State.STOPPING})


def check_searches(record: store_pb2.RunRecord) -> None:
    """Raises: IllegalTransition, unless the run's search goes on, or will once the run is resumed."""
    state = State(record.run.state)
    behind = State(record.resume_to) if state is State.PAUSED else state
    if behind not in SEARCHES or record.search_over:
        text = f"{record.run.name} is {state.name}, and its search is over: start another run"
        raise IllegalTransition(text, state=state.name)


def update_budget(
    writer: Writer, run_id: str, etag: str, spec: service_pb2.RunSpec, budget: synthesizer_pb2.Budget
) -> store_pb2.RunRecord:
    """The run goes on with `spec`; `budget`: what its plugin is told of it, if it understands that."""
    record = codec.get_run(writer, run_id)
    if record.run.spec == spec:  # asked again: the answer was lost
        return record
    codec.check_etag(record, etag)
    check_searches(record)
    record.run.spec.CopyFrom(spec)
    updated = service_pb2.BudgetUpdated()
    if spec.HasField("wall_s"):
        updated.wall_s = spec.wall_s
    if spec.HasField("trials"):
        updated.trials = spec.trials
    codec.append(writer, record, service_pb2.RunEvent(budget_updated=updated))
    if synthesizer_pb2.CAPABILITY_BUDGET_CHANGE in record.capabilities:
        changed = synthesizer_pb2.BudgetChanged(budget=budget)
        codec.append_search(writer, record, synthesizer_pb2.Event(budget_changed=changed))
    codec.put_run(writer, record)
    return record


def inject(
    writer: Writer,
    trial: store_pb2.TrialRecord,
    candidate: synthesizer_pb2.Candidate,
    digest: str,
    request: tuple[str, store_pb2.RequestRecord],
) -> None:
    """A user's own network enters as `trial`; `digest`: the canonical hash of its graph; `request`: by its id."""
    record = codec.get_run(writer, trial.run)
    check_searches(record)
    record.proposed += 1
    record.trials += 1
    codec.put_trial(writer, trial)
    writer.put("hashes", scoped(trial.run, digest), trial.candidate.encode())
    writer.put("requests", request[0].encode(), request[1].SerializeToString())
    injected = synthesizer_pb2.Injected()
    injected.candidate.id = trial.candidate
    injected.candidate.candidate.CopyFrom(candidate)
    heard = codec.hears_of(record, trial)
    codec.append_search(writer, record, synthesizer_pb2.Event(injected=injected), is_heard=heard)
    codec.put_run(writer, record)


def delete(writer: Writer, run_id: str, etag: str) -> None:
    """Forget a run; the artifacts that it refers to are condemned. Raises: IllegalTransition while it is driven."""
    record = codec.get_run(writer, run_id)
    codec.check_etag(record, etag)
    state = State(record.run.state)
    if state in ACTIVE:
        raise IllegalTransition(f"{record.run.name} is {state.name}: stop it before you delete it", state=state.name)
    for digest in _artifacts_of(codec.trials_of(writer, run_id)):
        writer.put("condemned", digest.encode(), b"")
    for table in OF_A_RUN:
        for key in [key for key, _ in writer.scan(table, scoped(run_id), scope_end(run_id))]:
            writer.delete(table, key)
    writer.delete("runs", run_id.encode())


def pardon(writer: Writer) -> list[str]:
    """The SHA-256 of every condemned artifact, but for those that a trial refers to: they are condemned no more."""
    condemned = {key.decode() for key, _ in writer.scan("condemned", b"", b"\xff")}
    if not condemned:
        return []
    rows = writer.scan("trials", b"", b"\xff")
    needed = condemned & set(_artifacts_of(store_pb2.TrialRecord.FromString(value) for _, value in rows))
    for digest in needed:
        writer.delete("condemned", digest.encode())
    return sorted(condemned - needed)


def _artifacts_of(trials: Iterable[store_pb2.TrialRecord]) -> Iterator[str]:
    for trial in trials:
        refs = [trial.checkpoint, trial.incumbent, *trial.result.artifacts.values()]
        refs += [artifact.ref for artifact in trial.artifacts]
        yield from (ref.sha256 for ref in refs if ref.sha256)
