"""Long runs: the replay of 20,000 events, the memory of 2,000 trials."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Final

from neunets.conform.bench import Bench
from neunets.conform.check import Check, Level, Skipped, Violation
from neunets.conform.drive import Run

__all__ = ["CHECKS"]

EVENTS: Final = 20_000
REPLAY_S: Final = 30.0
MEASURES: Final = 200  # of a trial
WANT: Final = 4
WARM_TRIALS, TRIALS, WINDOWS = 400, 2_000, 5
GROWTH, SLACK_BYTES = 0.05, 32 << 20
BATCH: Final = 16
# A slow plugin is judged by the trials it makes in this time.
LONGEST_S: Final = 60.0


def _replay(bench: Bench) -> None:
    run = _long(bench)
    run.close()
    again = bench.run(seed=run.opening.seed)
    again.open()
    again.log = run.log
    begun = monotonic()
    again.ingest()
    took = monotonic() - begun
    if took >= REPLAY_S:
        raise Violation(f"the replay of {len(run.log.events):,} events took {took:.0f} s, {REPLAY_S:g} s are allowed")
    again.candidates(1)


def _long(bench: Bench) -> Run:
    """A run of so many events, most of them measurements."""
    run = bench.opened()
    while len(run.log.events) < EVENTS:
        request_id = run.request_id()
        found = run.candidates(WANT, request_id)
        names = run.admit(request_id, found) if found else []
        if not found and not run.log.family.parents:
            raise Skipped("a run that has just begun is exhausted")
        for name in names or list(run.log.family.parents)[-1:]:
            trial = run.log.started(name)
            for number in range(1, MEASURES + 1):
                run.log.measured(trial, number / 10)
            run.log.ended(trial)
        run.ingest()
    return run


def _memory(bench: Bench) -> None:
    """The smallest value of each window: what a garbage collector has not collected yet, is not grown."""
    if not Path("/proc/self/statm").exists():
        raise Skipped("this system does not tell the memory of a process group")
    begun, made, windows, run = monotonic(), 0, list[list[int]](), bench.opened()
    while made < TRIALS and monotonic() - begun < LONGEST_S:
        before = len(run.log.candidates)
        made += run.search(before + BATCH, BATCH) - before
        if len(run.log.candidates) == before:
            if not before:
                raise Skipped("a run that has just begun is exhausted")
            run.close()
            run = bench.opened()
        if made >= WARM_TRIALS:
            window = WINDOWS * (made - WARM_TRIALS) // (TRIALS - WARM_TRIALS + BATCH)
            windows += [[] for _ in range(window + 1 - len(windows))]
            windows[window].append(bench.launched.rss_bytes())
    filled = [min(window) for window in windows if window]
    if len(filled) < 2:
        raise Skipped(f"{made} trials in {LONGEST_S:g} s are too few to see a growth")
    first, last = filled[0], filled[-1]
    if last > (1 + GROWTH) * first + SLACK_BYTES:
        raise Violation(f"memory has grown from {first >> 20} MiB to {last >> 20} MiB over {made - WARM_TRIALS} trials")


CHECKS: Final = (
    Check("recovery/long-replay", "A replay of 20,000 events takes less than 30 s.", Level.RECOVERY, _replay),
    Check(
        "recovery/memory",
        "From trial 400 to 2,000, its memory grows by less than 5 % and the 32 MiB of a garbage collector.",
        Level.RECOVERY,
        _memory,
        needs_process=True,
    ),
)
