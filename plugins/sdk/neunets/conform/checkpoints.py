"""Checkpoints: with the tail of the log they are worth a full replay, and a bad one is told."""

from __future__ import annotations

from typing import Final

import grpc

from neunets.conform.bench import Bench
from neunets.conform.check import Check, Level, Skipped, Violation
from neunets.conform.core_runs import SNAPSHOT_S
from neunets.conform.drive import OPEN_S
from neunets.conform.recovery import Recorded, recorded
from neunets.errors import BadCheckpoint
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["CHECKS"]

MOST_INLINE: Final = 256 << 10
GARBAGE: Final = b"\x00\xffno checkpoint of anything\xff\x00" * 8


def _tail(bench: Bench) -> None:
    record = recorded(bench)
    for checkpoint in _checkpoints(bench, record):
        record.run.is_open = False
        call = record.run.opening.call
        again = bench.run(run=call.run, epoch=call.epoch, seed=record.run.opening.seed)
        again.log = record.run.log
        opened = again.open(checkpoint)
        if opened.applied_seq not in (0, checkpoint.seq):
            raise Violation(f"Open with a checkpoint of event {checkpoint.seq} contains event {opened.applied_seq}")
        tail = record.run.log.events[again.applied :]
        if tail:
            again.send(tail)
        record.check(again, len(record.run.log.events), "from a checkpoint", bench.is_deterministic)
        again.is_open = False


def _corrupt(bench: Bench) -> None:
    record = recorded(bench)
    checkpoint = pb.Checkpoint()
    checkpoint.CopyFrom(_checkpoints(bench, record)[-1])
    checkpoint.inline = GARBAGE
    request = pb.OpenRequest()
    request.CopyFrom(record.run.opening)
    request.checkpoint.CopyFrom(checkpoint)
    bench.exchange.open(request, OPEN_S).refused(BadCheckpoint, "with a checkpoint that is garbage")
    record.run.open()
    record.run.ingest()
    record.check(record.run, len(record.run.log.events), "opened without the checkpoint", bench.is_deterministic)


def _checkpoints(bench: Bench, record: Recorded) -> list[pb.Checkpoint]:
    """What the plugin has handed out. Raises: Skipped if it has none that fits into a message."""
    found = [checkpoint for checkpoint in record.run.checkpoints if checkpoint.WhichOneof("body") == "inline"]
    if bench.has(pb.CAPABILITY_SNAPSHOT):
        chunks, status = bench.exchange.snapshot(pb.SnapshotRequest(call=record.run.call()), SNAPSHOT_S)
        data = b"".join(chunks)
        if status.code is grpc.StatusCode.OK and len(data) <= MOST_INLINE:
            found.append(pb.Checkpoint(seq=record.run.applied, inline=data))
    if not found:
        raise Skipped("no checkpoint")
    return found


CHECKS: Final = (
    Check(
        "recovery/checkpoint",
        "A checkpoint and the events after it are worth a full replay.",
        Level.RECOVERY,
        _tail,
    ),
    Check(
        "recovery/bad-checkpoint",
        "A checkpoint that cannot be read is DATA_LOSS / BAD_CHECKPOINT, and Open without it works.",
        Level.RECOVERY,
        _corrupt,
    ),
)
