"""One run from its data set to its model: the loop propose, train, ingest, assess, and then the final training."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Coroutine
from typing import Final, TypeVar

from neunets.errors import IllegalTransition, NeunetsError, NotReady, PluginFault, StaleEpoch
from neunets.sentences import sentence
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.worker.v1 import worker_pb2
from neunets_engine.asking import Asking, beside
from neunets_engine.budget import EXPORT_RESERVE_S, BudgetPlan
from neunets_engine.closing import Closing
from neunets_engine.intake import Intake, Kin
from neunets_engine.lifecycle import FINAL, State
from neunets_engine.mirroring import measure_mirror
from neunets_engine.pace import Pace
from neunets_engine.plugins import Plugin, PluginSession
from neunets_engine.quotas import MOST_RULES, check_rejected, verdict_of
from neunets_engine.resources import Resources
from neunets_engine.setting import Setting
from neunets_engine.starts import TrainerDown
from neunets_engine.waiting import SHORTEST_S, Rest
from neunets_engine.words import ending_words, pausing_words, verdict_words

__all__ = ["Synthesis"]

# Rejections in a row that count as a fault of the plugin.
REJECTED_IN_A_ROW: Final = 20
# Of one Propose, by the contract.
MOST_WANTED: Final = 64
# Between two looks whether a worker is there.
LOOK_EVERY_S: Final = 1.0
# A plugin has this long to close a run; the second value holds where it has not answered before.
CLOSE_S, HASTY_CLOSE_S = 10.0, 1.0
VERDICTS = synthesizer_pb2.AssessResponse
MODES = service_pb2.StopRunRequest

Result = TypeVar("Result")


class Synthesis:
    """Drives one run; everything it knows is in the store, so it begins anywhere."""

    def __init__(
        self, run_id: str, setting: Setting, session: PluginSession, plugin: Plugin, resources: Resources
    ) -> None:
        self._id = run_id
        self._setting = setting
        self._resources = resources
        self._plan = self._new_plan()
        self._session = session
        self._plugin = plugin
        self._pace = self._new_pace()
        self._ended = asyncio.Event()
        self._asking = Asking(self._left_s)
        self._rest = Rest()
        self._assess_at = 0.0  # by the monotonic clock, while trials train
        self._intake = Intake(run_id, resources.store, resources.scheduler, lambda: self._setting.rules())

    async def drive(self) -> None:
        """Take the run from the state it is in to a final one, or PAUSED."""
        left_s = (self._plan.wall_s or float("inf")) - self._used_s()
        self._ended = self._resources.scheduler.open(self._id, lambda trial: self._pace.recipe(trial), left_s)
        self._resources.scheduler.stops.open(self._id, self._record().capabilities)
        if self._stopping():
            self._asking.stop()
        try:
            await self._resources.scheduler.recover(self._id)
            await self._initialize()
            await self._search()
            if not self._stopping(MODES.MODE_ABORT):
                await self._finalize()
            await self._end()
        except TrainerDown as error:
            if self._record().run.best_trial:
                await self._pause(error.message)
            else:  # there is nothing to go on with
                await self._leave(State.FAILED, error.message)
        except (PluginFault, NotReady, StaleEpoch) as error:
            await self._pause(error.message)
        except NeunetsError as error:
            await self._leave(State.FAILED, error.message)
        finally:
            self._resources.scheduler.close(self._id)
            with contextlib.suppress(NeunetsError):
                await self._close_session()
            await self._resources.clock.stop(self._id)

    @property
    def synthesizer(self) -> str:
        return self._plugin.name

    def wake(self) -> None:
        """Something changed that the run has to look at: it was asked to stop."""
        if self._stopping():
            self._asking.stop()
        self._ended.set()

    def amend(self) -> None:
        """The run's specification has changed."""
        self._setting = Setting.of(self._resources.store, self._id)
        self._plan = self._new_plan()
        self._pace = self._new_pace()
        self.wake()

    @property
    def kin(self) -> Kin:
        """Its candidates' trials."""
        return self._intake.kin

    async def inject(self, candidate: synthesizer_pb2.Candidate, request_id: str) -> str:
        """As `Intake.inject`."""
        return await self._intake.inject(candidate, request_id, self._plan.trials)

    def _new_plan(self) -> BudgetPlan:
        return self._setting.plan(self._resources.slots).beginning(self._record().began_s)

    def _new_pace(self) -> Pace:
        shared = self._resources
        return Pace(self._id, self._setting, self._plan, shared.store, shared.clock, shared.scheduler.slot_flops)

    async def _initialize(self) -> None:
        if self._state() is State.VALIDATING:
            await self._move(State.INITIALIZING)
        if self._state() is State.INITIALIZING:
            await self._await_workers()
            if await self._asking.of(measure_mirror(self._id, self._setting, self._plan, self._resources)):
                self.amend()
                self._session.amend(self._setting.problem())
            await self._asking.of(self._session.ingest())
            await self._give_up_overdue()
            await self._log_remarks()
            await self._move(State.PROPOSING)

    async def _await_workers(self) -> None:
        """Nothing trains before, and the first one says how fast it trains: how large networks may be. The search's
        time begins once it is there.
        """
        scheduler, store = self._resources.scheduler, self._resources.store
        scheduler.check(self._id)
        while not scheduler.has_workers and not self._is_over():
            if not self._plan.has_time(self._used_s()):
                raise NeunetsError(
                    f"no worker was ready within the budget: after {self._used_s():.0f} s none has asked for work"
                )
            with contextlib.suppress(TimeoutError):
                await self._woken(LOOK_EVERY_S)
        for text in scheduler.starts.warnings:
            await store.log(self._id, "engine", "warning", text)
        await store.begin_search(self._id, self._used_s())
        self._plan, self._pace = self._new_plan(), self._new_pace()

    async def _search(self) -> None:
        """Propose, train, ingest, assess until the budget, the plugin or the user ends it."""
        while not self._stopping():
            self._resources.scheduler.check(self._id)
            match self._state():
                case State.PROPOSING:
                    await self._fill_slots()
                    await self._in(State.TRAINING, self._await_result())
                case State.TRAINING:
                    await self._in(State.INGESTING, self._asking.of(self._session.ingest()))
                case State.INGESTING | State.ASSESSING:
                    if await self._assess():
                        break
                case _:
                    return
        if self._stopping():
            order = worker_pb2.ORDER_ABORT if self._stopping(MODES.MODE_ABORT) else worker_pb2.ORDER_FINISH
            self._resources.scheduler.order(self._id, order)
            self._resources.scheduler.waiting.drop(self._id)
            await self._resources.store.cancel(self._id, service_pb2.TRIAL_STATE_WAITING)
        if not self._stopping(MODES.MODE_ABORT):
            await self._drain()

    async def _fill_slots(self) -> None:
        """Ask for candidates until every slot has one, or no more are wanted."""
        while (free := self._wanted()) > 0 and not self._stopping():
            record = self._record()
            if self._resources.scheduler.open_trials(self._id) > 0 and not self._rest.is_over(record.run.trials_ended):
                return
            request_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._id}/{record.proposals}"))
            answer = await self._asking.of(self._session.propose(request_id, free, free, self._budget()))
            if answer is None:
                await self._give_up_overdue()
                return
            await self._log_remarks()
            match answer.WhichOneof("outcome"):
                case "proposals":
                    self._rest.end()
                    await self._admit(request_id, answer.proposals.candidates[:free])
                case "wait":
                    await self._wait(answer.wait)
                case _:
                    await self._end_search(f"exhausted: {answer.exhausted.reason}")
                    return

    async def _wait(self, wait: synthesizer_pb2.Wait) -> None:
        """What the synthesizer asks for; where nothing trains, the time of it."""
        self._plugin.progressed()
        if self._rest.begin(wait, self._record().run.trials_ended) and wait.reason:
            await self._resources.store.note_wait(self._id, sentence(wait.reason))
        if self._resources.scheduler.open_trials(self._id) == 0:
            pause_s = min(self._rest.idle_s(), max(self._left_s(), SHORTEST_S))
            with contextlib.suppress(TimeoutError):
                await self._woken(pause_s)

    async def _admit(self, request_id: str, candidates: list[synthesizer_pb2.Candidate]) -> None:
        if not candidates:
            self._plugin.fault("Propose answered proposals without a candidate")
            return
        taken = await self._intake.take(request_id, candidates)
        if taken.admitted:
            self._plugin.progressed()
        record = self._record()
        check_rejected(record)
        in_a_row = record.rejected_in_a_row
        if in_a_row and in_a_row // REJECTED_IN_A_ROW > (in_a_row - len(taken.rejected)) // REJECTED_IN_A_ROW:
            why = taken.rejected[-1].why[0]
            self._plugin.fault(f"{in_a_row} candidates in a row were rejected; the last: {why.path} {why.summary}")
            await self._plugin.channel()  # raises once the plugin is in quarantine

    def _wanted(self) -> int:
        """Candidates that the run wants now: one a free slot, and more where trials are short, within its budget."""
        record = self._record()
        if record.search_over:
            return 0
        scheduler = self._resources.scheduler
        free = min(MOST_WANTED, self._resources.slots + scheduler.ahead(self._id) - scheduler.open_trials(self._id))
        if self._plan.trials is not None:
            free = min(free, self._plan.trials - record.trials)
        is_first = not record.run.best_trial
        return free if self._plan.search_total(self._used_s(), is_first=is_first) is not None else 0

    async def _await_result(self) -> None:
        """Until a trial has ended since the last time; at once if nothing trains."""
        if self._resources.scheduler.open_trials(self._id) == 0:
            return
        late_s = max(self._plan.late_s(self._used_s(), is_first=not self._record().run.best_trial), 1.0)
        rest_s = self._rest.left_s() if not self._is_over() and self._wanted() > 0 else float("inf")
        within_s = min(late_s, max(rest_s, SHORTEST_S))
        try:
            await self._woken(within_s if within_s < float("inf") else None)
        except TimeoutError:
            if within_s < late_s:
                return
            # A trial that does not keep to its time is asked to finish with what it has.
            self._resources.scheduler.order(self._id, worker_pb2.ORDER_FINISH)

    async def _woken(self, within_s: float | None = None) -> None:
        """Until a trial has ended, or `wake`. Raises: TimeoutError; the error that all runs were halted with."""
        await asyncio.wait_for(self._ended.wait(), within_s)
        self._ended.clear()
        self._resources.scheduler.check(self._id)

    async def _assess(self) -> bool:
        """Ask for a verdict; true where the search has come to its end."""
        running = [lease.trial for lease in self._resources.scheduler.leases() if lease.run_id == self._id]
        is_quiet = self._resources.scheduler.open_trials(self._id) == 0  # before, so that the last verdict knows all
        is_due = is_quiet or time.monotonic() >= self._assess_at
        asked = self._session.assess(self._budget(), running) if is_due else asyncio.sleep(0, None)
        answer = await self._in(State.ASSESSING, self._asking.of(asked))
        await self._give_up_overdue()
        if answer is not None:
            self._assess_at = time.monotonic() + answer.reassess_after.ToMilliseconds() / 1000
            await self._end_early(answer)
        is_last = answer is not None and answer.verdict in (VERDICTS.VERDICT_CONVERGED, VERDICTS.VERDICT_CANNOT_MEET)
        is_over = is_last or (is_quiet and self._wanted() <= 0)
        words = verdict_words(answer) if answer is not None else ""
        verdict = verdict_of(answer) if answer is not None else None
        await self._resources.store.record_verdict(self._id, verdict, words, goes_on=not is_over)
        if is_over:
            await self._end_search(words if is_last else "")
        return is_over

    async def _end_early(self, answer: synthesizer_pb2.AssessResponse) -> None:
        """The trials that the synthesizer wants to end, and its rules for the others."""
        if max(len(answer.rules), len(answer.stop)) > MOST_RULES:
            told = f"Assess: {len(answer.rules)} stop rules and {len(answer.stop)} trials to stop"
            self._plugin.fault(f"{told}: at most {MOST_RULES} of each are possible")
            return
        self._resources.scheduler.stops.rule(self._id, answer.rules)
        for stopped in answer.stop:
            if self._resources.scheduler.finish(self._id, stopped.trial):
                text = f"{stopped.trial} ends early: {stopped.reason}"
                await self._log(text)

    async def _drain(self) -> None:
        """Let what is training come to its end; until then nothing else uses the cores."""
        told = False
        while self._resources.scheduler.open_trials(self._id) > 0 and not self._stopping(MODES.MODE_ABORT):
            if self._stopping() and not told:
                told = True
                self._resources.scheduler.order(self._id, worker_pb2.ORDER_FINISH)
            await self._await_result()

    async def _finalize(self) -> None:
        self._resources.scheduler.stops.close(self._id)
        if not self._stopping():
            await self._move(State.FINALIZING)
        closing = Closing(self._id, self._setting, self._plan, self._pace, self._resources)
        await closing.finish(self._stopping, self._woken)

    async def _end(self) -> None:
        if self._stopping():
            await self._drop()
        elif self._state() not in FINAL:
            await self._leave(State.COMPLETED, ending_words(self._record()))

    async def _drop(self) -> None:
        """End a stopped run, with whatever still waits or trains."""
        self._resources.scheduler.waiting.drop(self._id)
        await self._resources.store.cancel(self._id, service_pb2.TRIAL_STATE_WAITING, service_pb2.TRIAL_STATE_RUNNING)
        await self._leave(State.STOPPED, "stopped by its user")

    async def _pause(self, why: str) -> None:
        if self._stopping(MODES.MODE_ABORT):
            await self._drop()
        elif self._state() not in FINAL:
            await self._leave(State.PAUSED, pausing_words(self._id, why))

    async def _leave(self, target: State, reason: str = "") -> None:
        """The last transition: whoever sees it also sees all the time that was used."""
        self._resources.scheduler.close(self._id)  # a trial handed out now would ask for the time
        await self._resources.clock.stop(self._id)
        await self._resources.store.move(self._id, target, reason)

    async def _give_up_overdue(self) -> None:
        """A search whose synthesizer has not answered within the run's time is over."""
        if self._asking.is_overdue and not self._record().search_over:
            await self._end_search(f"{self.synthesizer} has not answered within the run's time")

    async def _end_search(self, why: str) -> None:
        if why:
            await self._log(f"the search is over: {why}")
        await self._resources.store.end_search(self._id, sentence(why))

    async def _close_session(self) -> None:
        """A run that the engine leaves as it is stays open: the next engine opens it again."""
        state = self._state()
        if state in FINAL or state is State.PAUSED:
            await self._session.close(state.name, CLOSE_S if not self._asking.is_overdue else HASTY_CLOSE_S)

    async def _log_remarks(self) -> None:
        """What the synthesizer remarks for people."""
        for remark in self._session.take_notes():
            await self._log(remark)

    async def _log(self, text: str) -> None:
        await self._resources.store.log(self._id, "synthesizer", "info", sentence(text))

    def _left_s(self) -> float:
        """Seconds that the synthesizer may take for an answer; a run that has no trial yet waits to its end."""
        wall_s = self._plan.wall_s
        if wall_s is None:
            return float("inf")
        used_s = self._used_s()
        has_network = bool(self._record().run.best_trial)
        return self._plan.late_s(used_s) if has_network else wall_s - EXPORT_RESERVE_S - used_s

    def _is_over(self) -> bool:
        return self._stopping() or self._record().search_over

    def _record(self) -> store_pb2.RunRecord:
        return self._resources.store.run(self._id)

    def _state(self) -> State:
        return State(self._record().run.state)

    def _used_s(self) -> float:
        return self._resources.clock.used_s(self._id)

    def _budget(self) -> synthesizer_pb2.Budget:
        return self._plan.message(self._used_s(), self._record().trials, self._pace.slot_flops())

    def _stopping(self, *modes: MODES.Mode.ValueType) -> bool:
        stop = self._record().stop
        return stop in modes if modes else stop != MODES.MODE_UNSPECIFIED

    async def _in(self, state: State, work: Coroutine[None, None, Result]) -> Result:
        """Do `work` in a state, which is written meanwhile: `work` is what may be done again after a crash."""
        return await beside(self._move(state), work)

    async def _move(self, target: State) -> None:
        """Go on, unless a stop came in between."""
        try:
            await self._resources.store.move(self._id, target)
        except IllegalTransition:
            if not self._stopping():
                raise
