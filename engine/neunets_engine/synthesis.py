"""One run from its data set to its model: the loop propose, train, ingest, assess, and then the final training."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from dataclasses import dataclass
from typing import Final

from neunets.errors import IllegalTransition, NeunetsError, NotReady, PluginFault, StaleEpoch
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.worker.v1 import worker_pb2
from neunets_engine.admission import Admitted, Rules, admit
from neunets_engine.artifacts import Artifacts
from neunets_engine.budget import BudgetPlan, complete
from neunets_engine.clock import RunClock
from neunets_engine.finalize import export_final
from neunets_engine.lifecycle import FINAL, State
from neunets_engine.plugins import Plugin, PluginSession
from neunets_engine.scheduler import Scheduler
from neunets_engine.store import Store, has_result

__all__ = ["Resources", "Synthesis"]

# Rejections in a row that count as a fault of the plugin.
REJECTED_IN_A_ROW: Final = 20
# Times the search's share of the wall budget after which its last trials are told to finish.
LATE: Final = 1.25
# Before a plugin that asked for time, with nothing training, is asked again.
SHORTEST_WAIT_S: Final = 0.05
VERDICTS = synthesizer_pb2.AssessResponse
MODES = service_pb2.StopRunRequest


@dataclass(frozen=True, slots=True)
class Resources:
    """What all runs of an engine share."""

    store: Store
    artifacts: Artifacts
    scheduler: Scheduler
    clock: RunClock
    slots: int


class Synthesis:
    """Drives one run; everything it knows is in the store, so it begins anywhere."""

    def __init__(
        self, run_id: str, rules: Rules, plan: BudgetPlan, session: PluginSession, plugin: Plugin, resources: Resources
    ) -> None:
        self._id = run_id
        self._rules = rules
        self._plan = plan
        self._session = session
        self._plugin = plugin
        self._resources = resources
        self._ended = asyncio.Event()

    async def drive(self) -> None:
        """Take the run from the state it is in to a final one, or PAUSED."""
        store = self._resources.store
        self._ended = self._resources.scheduler.open(self._id, self._recipe)
        try:
            await self._resources.scheduler.recover(self._id)
            await self._initialize()
            await self._search()
            if not self._stopping(MODES.MODE_ABORT):
                await self._finalize()
            await self._end()
        except (PluginFault, NotReady, StaleEpoch) as error:
            await self._pause(error.message)
        except NeunetsError as error:
            await self._leave(State.FAILED, error.message)
        finally:
            self._resources.scheduler.close(self._id)
            with contextlib.suppress(NeunetsError):
                await self._session.close(State(store.run(self._id).run.state).name)
            await self._resources.clock.stop(self._id)

    def wake(self) -> None:
        """Something changed that the run has to look at: it was asked to stop."""
        self._ended.set()

    # Search

    async def _initialize(self) -> None:
        if self._state() is State.VALIDATING:
            await self._move(State.INITIALIZING)
        if self._state() is State.INITIALIZING:
            await self._session.ingest()
            await self._move(State.PROPOSING)

    async def _search(self) -> None:
        """Propose, train, ingest, assess until the budget, the plugin or the user ends it."""
        while not self._stopping():
            match self._state():
                case State.PROPOSING:
                    await self._fill_slots()
                    await self._move(State.TRAINING)
                case State.TRAINING:
                    await self._await_result()
                    await self._move(State.INGESTING)
                case State.INGESTING:
                    await self._session.ingest()
                    await self._move(State.ASSESSING)
                case State.ASSESSING:
                    if await self._is_over():
                        await self._resources.store.end_search(self._id)
                        break
                    await self._move(State.PROPOSING)
                case _:
                    return
        if self._stopping():
            order = worker_pb2.ORDER_ABORT if self._stopping(MODES.MODE_ABORT) else worker_pb2.ORDER_FINISH
            self._resources.scheduler.order(self._id, order)
            self._resources.scheduler.drop_waiting(self._id)
            await self._resources.store.cancel(self._id, service_pb2.TRIAL_STATE_WAITING)
        if not self._stopping(MODES.MODE_ABORT):
            await self._drain()

    async def _fill_slots(self) -> None:
        """Ask for candidates until every slot has one, or no more are wanted."""
        while (free := self._wanted()) > 0 and not self._stopping():
            record = self._record()
            request_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._id}/{record.proposals}"))
            answer = await self._session.propose(request_id, free, free, self._budget())
            match answer.WhichOneof("outcome"):
                case "proposals":
                    await self._admit(request_id, list(answer.proposals.candidates)[:free])
                case "wait":
                    self._plugin.progressed()
                    if self._resources.scheduler.open_trials(self._id) > 0:
                        return
                    after_s = max(answer.wait.after.ToMilliseconds() / 1000, SHORTEST_WAIT_S)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._ended.wait(), after_s)
                    self._ended.clear()
                case _:
                    await self._resources.store.end_search(self._id)
                    return

    async def _admit(self, request_id: str, candidates: list[synthesizer_pb2.Candidate]) -> None:
        """Check each candidate, and keep the answer before anything is trained."""
        store, record = self._resources.store, self._record()
        known = store.hashes(self._id)
        proposed = synthesizer_pb2.Proposed(request_id=request_id)
        admitted: list[tuple[store_pb2.TrialRecord, str]] = []
        rejected: list[synthesizer_pb2.Rejected] = []
        for number, candidate in enumerate(candidates, record.proposed + 1):
            name = f"c{number:06d}"
            proposed.candidates.add(id=name, candidate=candidate)
            answer = admit(candidate, self._rules, known)
            if isinstance(answer, Admitted):
                known[answer.digest] = name
                trial = self._trial(f"t{record.trials + len(admitted) + 1:06d}", name, candidate, answer)
                admitted.append((trial, answer.digest))
            else:
                rejected.append(synthesizer_pb2.Rejected(candidate=name, why=answer))
        if not candidates:
            self._plugin.fault("Propose answered proposals without a candidate")
            return
        await store.record_proposals(self._id, proposed, admitted, rejected)
        if admitted:
            self._plugin.progressed()
        await self._resources.scheduler.add(self._id, *(trial.trial for trial, _ in admitted))
        in_a_row = self._record().rejected_in_a_row
        if in_a_row and in_a_row // REJECTED_IN_A_ROW > (in_a_row - len(rejected)) // REJECTED_IN_A_ROW:
            why = rejected[-1].why[0]
            self._plugin.fault(f"{in_a_row} candidates in a row were rejected; the last: {why.path} {why.summary}")
            await self._plugin.channel()  # raises once the plugin is in quarantine

    def _trial(
        self, trial: str, candidate: str, asked: synthesizer_pb2.Candidate, admitted: Admitted
    ) -> store_pb2.TrialRecord:
        return store_pb2.TrialRecord(
            run=self._id,
            trial=trial,
            candidate=candidate,
            graph=asked.graph,
            recipe=asked.recipe,
            params=admitted.cost.params,
            flops=admitted.cost.flops,
            activation_bytes=admitted.cost.activation_bytes,
            rationale=asked.rationale[:256],
            state=service_pb2.TRIAL_STATE_WAITING,
            accumulate=1,
        )

    def _recipe(self, trial: store_pb2.TrialRecord) -> synthesizer_pb2.Recipe | None:
        """The complete recipe of a trial that a worker takes now; a trial once begun keeps its own."""
        if trial.attempt and trial.recipe.WhichOneof("total") is not None:
            return trial.recipe
        used = self._resources.clock.used_s(self._id)
        total = self._plan.final_total(used) if trial.final_of else self._plan.search_total(used)
        if total is None and trial.recipe.WhichOneof("total") is None:
            return None
        return complete(trial.recipe, total or synthesizer_pb2.Recipe(), self._plan.train_rows)

    def _wanted(self) -> int:
        """Candidates that the run wants now: one a free slot, within its budget."""
        record = self._record()
        if record.search_over:
            return 0
        free = self._resources.slots - self._resources.scheduler.open_trials(self._id)
        if self._plan.trials is not None:
            free = min(free, self._plan.trials - record.trials)
        return free if self._plan.search_total(self._used_s()) is not None else 0

    async def _await_result(self) -> None:
        """Until a trial has ended since the last time; at once if nothing trains."""
        if self._resources.scheduler.open_trials(self._id) == 0:
            return
        late_s = LATE * self._plan.search_end_s() - self._used_s()
        try:
            await asyncio.wait_for(self._ended.wait(), None if late_s == float("inf") else max(late_s, 1.0))
        except TimeoutError:
            # A trial that does not keep to its time is asked to finish with what it has.
            self._resources.scheduler.order(self._id, worker_pb2.ORDER_FINISH)
        self._ended.clear()

    async def _is_over(self) -> bool:
        """Ask for a verdict; true where the search has come to its end."""
        running = [lease.trial for lease in self._resources.scheduler.leases().values() if lease.run_id == self._id]
        answer = await self._session.assess(self._budget(), running)
        if answer is not None:
            await self._resources.store.record_verdict(self._id, answer)
            if answer.verdict in (VERDICTS.VERDICT_CONVERGED, VERDICTS.VERDICT_CANNOT_MEET):
                return True
        return self._wanted() == 0 and self._resources.scheduler.open_trials(self._id) == 0

    async def _drain(self) -> None:
        """Let what is training come to its end; until then nothing else uses the cores."""
        told = False
        while self._resources.scheduler.open_trials(self._id) > 0 and not self._stopping(MODES.MODE_ABORT):
            if self._stopping() and not told:
                told = True
                self._resources.scheduler.order(self._id, worker_pb2.ORDER_FINISH)
            await self._await_result()

    # The end

    async def _finalize(self) -> None:
        """Train the best network for the rest of the budget, and export the better of both."""
        store = self._resources.store
        if not self._stopping():
            await self._move(State.FINALIZING)
        record = self._record()
        if not record.run.best_trial and not record.final_trials:
            if self._stopping():
                return
            raise NeunetsError(self._nothing_trained())
        trial = await self._final()
        if not has_result(trial):  # what the search has found is not lost with it
            trial = await self._final()
        if not has_result(trial):
            raise NeunetsError(f"the best network could not be evaluated: {trial.result.error.summary}")
        await export_final(self._id, trial.trial, self._used_s(), store, self._resources.artifacts)

    async def _final(self) -> store_pb2.TrialRecord:
        """The final trial, once it has ended: planned where there is none, or in place of one that failed."""
        store, record = self._resources.store, self._record()
        before = store.trial(self._id, record.final_trials[-1]) if record.final_trials else None
        if before is None or (before.state == service_pb2.TRIAL_STATE_ENDED and not has_result(before)):
            trains = before is None and not self._stopping()
            await store.plan_final(self._id, self._final_trial(record, trains))
        final = self._record().final_trials[-1]
        if store.trial(self._id, final).state == service_pb2.TRIAL_STATE_WAITING:
            await self._resources.scheduler.add(self._id, final)
        await self._await_final(final)
        return store.trial(self._id, final)

    async def _await_final(self, final: str) -> None:
        """Raises: NotReady if the user drops the run meanwhile."""
        told = False
        while self._resources.store.trial(self._id, final).state != service_pb2.TRIAL_STATE_ENDED:
            if self._stopping(MODES.MODE_ABORT):
                raise NotReady("asked to stop")
            if self._stopping() and not told:
                told = True
                self._resources.scheduler.order(self._id, worker_pb2.ORDER_FINISH)
            await self._ended.wait()
            self._ended.clear()

    def _final_trial(self, record: store_pb2.RunRecord, trains: bool) -> store_pb2.TrialRecord:
        """Trains the best network once more, or only evaluates the weights that the search left."""
        best = self._resources.store.trial(self._id, record.run.best_trial)
        recipe = synthesizer_pb2.Recipe()
        recipe.CopyFrom(best.recipe)
        recipe.ClearField("total")
        if not trains:
            recipe.epochs = 0.0
        return store_pb2.TrialRecord(
            run=self._id,
            trial=f"t{record.trials + 1:06d}",
            candidate=best.candidate,
            graph=best.graph,
            recipe=recipe,
            params=best.params,
            flops=best.flops,
            activation_bytes=best.activation_bytes,
            rationale=best.rationale,
            state=service_pb2.TRIAL_STATE_WAITING,
            accumulate=best.accumulate,
            final_of=best.trial,
            incumbent=best.result.artifacts["weights"],
        )

    async def _end(self) -> None:
        if self._stopping():
            await self._drop()
        elif self._state() not in FINAL:
            await self._leave(State.COMPLETED)

    async def _drop(self) -> None:
        """End a stopped run, with whatever still waits or trains."""
        self._resources.scheduler.drop_waiting(self._id)
        await self._resources.store.cancel(self._id, service_pb2.TRIAL_STATE_WAITING, service_pb2.TRIAL_STATE_RUNNING)
        await self._leave(State.STOPPED, "stopped by its user")

    async def _pause(self, why: str) -> None:
        if self._stopping(MODES.MODE_ABORT):
            await self._drop()
        elif self._state() not in FINAL:
            await self._leave(State.PAUSED, why)

    async def _leave(self, target: State, reason: str = "") -> None:
        """The last transition: whoever sees it also sees all the time that was used."""
        self._resources.scheduler.close(self._id)  # a trial handed out now would ask for the time
        await self._resources.clock.stop(self._id)
        await self._resources.store.move(self._id, target, reason)

    def _nothing_trained(self) -> str:
        trials = [trial for trial in self._resources.store.trials(self._id) if trial.HasField("result")]
        if not trials:
            return "no network was trained within the budget: give it more time, or a larger bound on the parameters"
        last = trials[-1].result
        return f"none of {len(trials)} networks could be trained; the last one: {last.error.summary or 'no result'}"

    # What the run looks like now

    def _record(self) -> store_pb2.RunRecord:
        return self._resources.store.run(self._id)

    def _state(self) -> State:
        return State(self._record().run.state)

    def _used_s(self) -> float:
        return self._resources.clock.used_s(self._id)

    def _budget(self) -> synthesizer_pb2.Budget:
        return self._plan.message(self._used_s(), self._record().trials)

    def _stopping(self, *modes: MODES.Mode.ValueType) -> bool:
        stop = self._record().stop
        return stop in modes if modes else stop != MODES.MODE_UNSPECIFIED

    async def _move(self, target: State) -> None:
        """Go on, unless a stop came in between."""
        try:
            await self._resources.store.move(self._id, target)
        except IllegalTransition:
            if not self._stopping():
                raise
