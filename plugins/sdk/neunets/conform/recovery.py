"""The plugin is killed, paused, left alone by its engine: its state is a fold over the events, and nothing else."""

from __future__ import annotations

from threading import Event as Signal
from typing import Final

from neunets.conform.bench import Bench
from neunets.conform.check import Check, Level, Violation
from neunets.conform.drive import Run
from neunets.conform.events import State
from neunets.conform.family import Family
from neunets.conform.host import LEASE_S
from neunets.conform.trained import Trained
from neunets.errors import DeadlineExceeded, PluginUnavailable, StaleEpoch
from neunets.status import STATUS
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["CHECKS", "Recorded", "recorded"]

WANT: Final = 2
KILLS: Final = 3
LARGEST_DELAY_MS: Final = 20
LATER_PAUSE_S: Final = 2.0


class Recorded:
    """A run that went through undisturbed: its events, and what was proposed at each boundary between them."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.proposed = [self._ask(run)]

    def advance(self) -> None:
        """Send the new events one by one."""
        for event in self.run.log.events[self.run.applied :]:
            self.run.send([event])
            self.proposed.append(self._ask(self.run))

    def check(self, again: Run, seq: int, when: str, is_deterministic: bool) -> None:
        """Whether a run rebuilt up to event `seq` is proposed what this one was. Raises: Violation."""
        found = self._ask(again)
        if is_deterministic and found != self.proposed[seq]:
            raise Violation(f"{when}, the replay of {seq} events is proposed other candidates than the run was")
        events = self.run.log.events[:seq]
        named = {f"{number} of the same answer": candidate for number, candidate in enumerate(found, 1)}
        judgements = again.judge.judge_all(named, dict(self._known(seq)), Family(events).parents, Trained(events).past)
        for judged in judgements.values():
            if judged.refusal:
                raise Violation(f"{when}, after {seq} events: a candidate is {judged.refusal}: {judged.summary}")

    def _known(self, seq: int) -> list[tuple[str, str]]:
        names = {
            entry.id
            for event in self.run.log.events[:seq]
            if event.WhichOneof("event") == "proposed"
            for entry in event.proposed.candidates
        }
        return [(digest, name) for digest, name in self.run.log.known.items() if name in names]

    def _ask(self, run: Run) -> list[pb.Candidate]:
        """What is proposed where `run` stands; [] for Wait and Exhausted. The same request each time."""
        answer = run.propose(WANT, f"00000000-0000-4000-8000-{run.applied:012d}")
        return list(answer.proposals.candidates)


def recorded(bench: Bench) -> Recorded:
    """A short run in which much happens."""
    run = bench.opened()
    record = Recorded(run)
    first = run.candidates(WANT)
    trials = [run.log.started(name) for name in run.admit("first", first)]
    if not trials:
        raise Violation("nothing was proposed that could be trained")
    record.advance()
    run.log.measured(trials[0], 1.0)
    run.log.ended(trials[0])
    record.advance()
    second = _begun(run, "second")
    trials += second
    record.advance()
    lost = trials[1] if len(trials) > 1 else trials[0]
    if lost in run.log.running:
        candidate = run.log.running[lost]
        run.log.ended(lost, State.STATE_LOST, will_retry=True)
        run.log.restarted(lost, candidate)
    for trial, state in zip(list(run.log.running), (State.STATE_FAILED, State.STATE_STOPPED), strict=False):
        run.log.ended(trial, state)
    record.advance()
    if not second and _begun(run, "third"):  # of a plugin that waits for all to end
        record.advance()
    return record


def _begun(run: Run, request_id: str) -> list[str]:
    """Trials of what is proposed, if anything is."""
    found = run.propose(WANT, run.request_id()).proposals.candidates
    return [run.log.started(name) for name in run.admit(request_id, found)] if found else []


def _rebuilt(bench: Bench, record: Recorded, seq: int, epoch: int | None = None) -> Run:
    """The recorded run, opened and replayed up to event `seq`."""
    record.run.is_open = False
    call = record.run.opening.call
    again = bench.run(run=call.run, epoch=epoch or call.epoch, seed=record.run.opening.seed)
    again.log = record.run.log
    again.open()
    if seq > again.applied:
        again.send(record.run.log.events[again.applied : seq])
    return again


def _boundaries(bench: Bench) -> None:
    record = recorded(bench)
    for seq in range(len(record.proposed)):
        bench.launched.relaunch()
        again = _rebuilt(bench, record, seq)
        record.check(again, seq, "killed", bench.is_deterministic)
        again.is_open = False


def _inside(bench: Bench) -> None:
    record = recorded(bench)
    seq = len(record.run.log.events)
    for number in range(KILLS):
        pending = record.run.start_propose(WANT)
        pending.is_answered_within((bench.seed(number) % LARGEST_DELAY_MS) / 1000)
        bench.launched.kill_under_way()
        answer = pending.answer()
        if answer.response is None and answer.status.code is not STATUS[PluginUnavailable][0]:
            raise Violation(f"Propose ended with {answer.status} as the plugin was killed")
        bench.launched.relaunch()
        record.run.open()
        record.run.ingest()
        record.check(record.run, seq, "killed inside Propose", bench.is_deterministic)


def _stale(bench: Bench) -> None:
    record = recorded(bench)
    seq = len(record.run.log.events)
    again = _rebuilt(bench, record, seq, record.run.opening.call.epoch + 1)
    record.run.try_propose().refused(StaleEpoch, "of the engine before")
    record.run.try_ingest([pb.Event(seq=seq + 1)]).refused(StaleEpoch, "of the engine before")
    record.run.try_open().refused(StaleEpoch, "of the engine before")
    record.check(again, seq, "opened by a newer engine", bench.is_deterministic)


def _paused(bench: Bench) -> None:
    """Long in the first repetition, short in the others."""
    pause_s = bench.options.pause_s if bench.options.repetition == 0 else min(LATER_PAUSE_S, bench.options.pause_s)
    record = recorded(bench)
    seq = len(record.run.log.events)
    bench.launched.pause()
    try:
        asking = record.run.asking(WANT)
        answer = bench.exchange.propose(asking, min(1.0, pause_s))
        if answer.response is None and answer.status.code is not STATUS[DeadlineExceeded][0]:
            raise Violation(f"a call to a plugin that was stopped ended with {answer.status}")
        Signal().wait(pause_s)
    finally:
        bench.launched.resume()
    record.check(record.run, seq, "stopped and continued", bench.is_deterministic)
    record.run.assess()


def _engine_restarts(bench: Bench) -> None:
    """A plugin may end with its engine, and is started again then."""
    record = recorded(bench)
    seq = len(record.run.log.events)
    bench.host.stop()
    try:
        Signal().wait(LEASE_S)
    finally:
        bench.host.start()
    bench.launched.ensure()
    epoch = record.run.opening.call.epoch + 1
    try:
        again = _rebuilt(bench, record, seq, epoch)
    except Violation:
        if bench.launched.is_alive():
            raise
        bench.launched.relaunch()
        again = _rebuilt(bench, record, seq, epoch)
    record.check(again, seq, "with a new engine", bench.is_deterministic)
    again.assess()
    bench.launched.relaunch()  # the new host does not know it


CHECKS: Final = (
    Check(
        "recovery/killed-at-boundaries",
        "Killed at any boundary between events, started again, opened and replayed, it proposes the same if it is "
        "DETERMINISTIC, else something valid.",
        Level.RECOVERY,
        _boundaries,
        needs_process=True,
    ),
    Check(
        "recovery/killed-in-propose",
        "Killed inside Propose, it answers the repeated call after a replay.",
        Level.RECOVERY,
        _inside,
        needs_process=True,
    ),
    Check(
        "recovery/stale-epoch",
        "After an Open with epoch + 1, calls of the epoch before are ABORTED / STALE_EPOCH.",
        Level.RECOVERY,
        _stale,
    ),
    Check(
        "recovery/paused",
        "Stopped for 30 s (in later repetitions 2 s) and continued, it goes on as if nothing had been.",
        Level.RECOVERY,
        _paused,
        needs_process=True,
    ),
    Check(
        "recovery/engine-restart",
        "While the host is gone it stays, or ends and is started again; an engine with epoch + 1 goes on with the run.",
        Level.RECOVERY,
        _engine_restarts,
        needs_process=True,
    ),
)
