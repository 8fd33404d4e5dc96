"""Several runs at a time, sizes of answers, and the optional call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from neunets.conform.bench import Bench
from neunets.conform.check import Check, Level, Skipped, Violation
from neunets.conform.drive import Run
from neunets.errors import Busy
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["CHECKS"]

STEPS: Final = 4
CONCURRENT: Final = 32
MIB: Final = 1 << 20
LONGEST_STRING: Final = 256
MOST_ENTRIES: Final = 64
MOST_CHUNK: Final = 256 << 10
SNAPSHOT_S: Final = 120.0
# Their bounds are noted in the contract, or they are the engine's own words.
OTHERWISE_BOUND: Final = frozenset({"settings_schema_json", "effective_settings"})


def _interleaved(bench: Bench) -> None:
    """Alone, and then by turns, under the same names; where the plugin is not deterministic, by their logs alone."""
    bench.needs_room(2)
    pair = [bench.run(run=f"interleaved-{side}", seed=bench.seed(side)) for side in "ab"]
    alone = []
    for run in pair:
        run.open()
        alone.append([_step(run) for _ in range(STEPS)])
        run.close().value()
    again = [bench.run(run=run.name, seed=run.opening.seed) for run in pair]
    for run in again:
        run.open()
    turns = [[_step(run) for run in again] for _ in range(STEPS)]
    for side, run in enumerate(again):
        if bench.is_deterministic and [turn[side] for turn in turns] != alone[side]:
            raise Violation(f"run {run.name} is proposed other candidates while {again[1 - side].name} is open, too")
        if run.assess().verdict == pb.AssessResponse.VERDICT_UNSPECIFIED:
            raise Violation(f"run {run.name} has no verdict")


def _step(run: Run) -> list[pb.Candidate]:
    request_id = run.request_id()
    found = run.candidates(2, request_id)
    for name in run.admit(request_id, found):
        run.log.ended(run.log.started(name))
    run.ingest()
    return found


def _concurrent(bench: Bench) -> None:
    most = bench.description.max_open_runs or CONCURRENT
    runs = [bench.opened() for _ in range(min(CONCURRENT, most))]
    pending = [runs[number % len(runs)].start_propose(1) for number in range(len(runs))]
    for answer in [each.answer() for each in pending]:
        if answer.response is None:
            answer.refused(Busy, f"beside {len(runs) - 1} other runs")


def _limits(bench: Bench) -> None:
    run = bench.run()
    answers: list[Message] = [bench.exchange.describe(30.0).value(), run.open()]
    answers += [bench.opened().propose(64, run.request_id())]
    run.begun()
    run.log.measured(next(iter(run.log.running)), 1.0)
    answers += [run.try_ingest(run.log.events[run.applied :]).value()]
    run.applied = len(run.log.events)
    answers += [run.assess()]
    for answer in answers:
        name = type(answer).__name__
        if answer.ByteSize() > MIB:
            raise Violation(f"{name} has {answer.ByteSize():,} bytes, at most {MIB:,} are allowed")
        excess = next(_excesses(answer, name), "")
        if excess:
            raise Violation(excess)


def _excesses(message: Message, path: str) -> Iterator[str]:
    """Strings and maps beyond their bounds, anywhere in `message`."""
    for field, value in message.ListFields():
        if field.name in OTHERWISE_BOUND:
            continue
        here = f"{path}.{field.name}"
        if isinstance(value, str | Message) or not hasattr(value, "__len__"):
            yield from _excess(value, here)
        elif hasattr(value, "items"):
            if len(value) > MOST_ENTRIES:
                yield f"{here} has {len(value)} entries, at most {MOST_ENTRIES} are allowed"
            for key, entry in value.items():
                yield from _excess(key, f"{here}[]")
                yield from _excess(entry, f"{here}[]")
        else:
            for entry in value:
                yield from _excess(entry, here)


def _excess(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Message):
        yield from _excesses(value, path)
    elif isinstance(value, str) and len(value.encode()) > LONGEST_STRING:
        yield f"{path} has {len(value.encode())} bytes, at most {LONGEST_STRING} are allowed"


def _no_snapshot(bench: Bench) -> None:
    if bench.has(pb.CAPABILITY_SNAPSHOT):
        raise Skipped("SNAPSHOT is declared")
    run = bench.opened()
    _, status = bench.exchange.snapshot(pb.SnapshotRequest(call=run.call()), SNAPSHOT_S)
    if status.code is not grpc.StatusCode.UNIMPLEMENTED:
        raise Violation(f"Snapshot is not declared, but answered with {status}; UNIMPLEMENTED was due")


def _snapshot(bench: Bench) -> None:
    run = bench.opened()
    run.begun()
    chunks, status = bench.exchange.snapshot(pb.SnapshotRequest(call=run.call()), SNAPSHOT_S)
    if status.code is not grpc.StatusCode.OK or not any(chunks):
        raise Violation(f"Snapshot is declared, but answered {sum(map(len, chunks))} bytes and {status}")
    if max(map(len, chunks)) > MOST_CHUNK:
        raise Violation(f"a chunk has {max(map(len, chunks)):,} bytes, at most {MOST_CHUNK:,} are allowed")


CHECKS: Final = (
    Check(
        "core/interleaved",
        "Two runs by turns never mix: each is proposed what it would be proposed alone.",
        Level.CORE,
        _interleaved,
    ),
    Check(
        "core/concurrent",
        "32 calls of different runs at once (max_open_runs, if fewer) are all answered.",
        Level.CORE,
        _concurrent,
    ),
    Check(
        "core/limits",
        "An answer has at most 1 MiB, a string 256 bytes unless noted, a map 64 entries.",
        Level.CORE,
        _limits,
    ),
    Check("core/snapshot-undeclared", "Snapshot without the capability is UNIMPLEMENTED.", Level.CORE, _no_snapshot),
    Check(
        "core/snapshot",
        "Snapshot answers chunks of at most 256 KiB.",
        Level.CORE,
        _snapshot,
        needs=pb.CAPABILITY_SNAPSHOT,
    ),
)
