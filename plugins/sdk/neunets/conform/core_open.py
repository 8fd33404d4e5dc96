"""Opening, closing, epochs, and what is refused."""

from __future__ import annotations

import json
from typing import Final

from neunets.conform.bench import Bench
from neunets.conform.check import Check, Level, Skipped, Violation
from neunets.conform.drive import OPEN_S, Run
from neunets.errors import InvalidRequest, RunNotOpen, StaleEpoch, UnsupportedProblem
from neunets.status import STATUS
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["CHECKS", "refuses_everything"]

UNKNOWN_SETTING: Final = "no-such-setting-as-this"
# Of Open: path → what is taken out of a complete request.
OPEN_FIELDS: Final = ("call.run", "problem", "problem.task", "problem.input", "problem.dataset.classes")


def _fields_of_open(bench: Bench) -> None:
    for path in OPEN_FIELDS:
        request = pb.OpenRequest()
        request.CopyFrom(bench.run().opening)
        *parents, last = path.split(".")
        message = request
        for parent in parents:
            message = getattr(message, parent)
        message.ClearField(last)  # type: ignore[arg-type]
        bench.exchange.open(request, OPEN_S).names(path)


def _fields_of_propose(bench: Bench) -> None:
    run = bench.opened()
    run.try_propose(run="").names("call.run")
    asking = run.asking(2)
    asking.call.request_id = ""
    bench.exchange.propose(asking, bench.propose_s).names("call.request_id")
    run.try_propose(0).names("want")


def _fields_of_ingest(bench: Bench) -> None:
    bench.opened().try_ingest([pb.Event(seq=1)], run="").names("call.run")


def _fields_of_assess(bench: Bench) -> None:
    bench.opened().try_assess(run="").names("call.run")


def _schema(bench: Bench) -> object:
    try:
        return json.loads(bench.description.settings_schema_json or "{}")
    except ValueError as error:
        raise Skipped("there is no schema: see core/describe-schema") from error


def _unknown_settings(bench: Bench) -> None:
    schema = _schema(bench)
    if isinstance(schema, dict) and (schema.get("additionalProperties") or "patternProperties" in schema):
        raise Skipped("the schema declares settings of any name")
    run = bench.run()
    run.opening.settings.update({UNKNOWN_SETTING: 1})
    answer = run.try_open(validate_only=True)
    if answer.status.code is STATUS[InvalidRequest][0]:
        return
    if not any(UNKNOWN_SETTING in f"{found.path} {found.summary}" for found in answer.value().diagnostics):
        raise Violation("a setting that the schema does not know was taken without a word")


def _unknown_task(bench: Bench) -> None:
    run = bench.run()
    run.opening.problem.task = "no-such-task-as-this"
    run.try_open(validate_only=True).refused(UnsupportedProblem, "with a task that the plugin does not list")


def _validate_only(bench: Bench) -> None:
    run = bench.run()
    run.try_open(validate_only=True).value()
    run.try_propose().refused(RunNotOpen, "after an Open that only validates")
    run.open()
    run.begun()
    run.try_open(validate_only=True).value()
    if run.try_assess().response is None:
        raise Violation("an Open that only validates has changed the run that was open")


def _not_open(bench: Bench) -> None:
    refuses_everything(bench.run(), "before Open")


def refuses_everything(run: Run, when: str) -> None:
    """Every operation of a run that is not open. Raises: Violation."""
    run.try_propose().refused(RunNotOpen, when)
    run.try_ingest([pb.Event(seq=1)]).refused(RunNotOpen, when)
    run.try_assess().refused(RunNotOpen, when)


def _open_twice(bench: Bench) -> None:
    run = bench.run()
    first = run.open()
    run.begun()
    second = run.open()
    if (first.applied_seq, second.applied_seq) != (0, 0):
        raise Violation(f"Open without a checkpoint contains event {max(first.applied_seq, second.applied_seq)}, not 0")
    if first.effective_settings != second.effective_settings:
        raise Violation("the second Open has other effective settings")
    run.ingest()


def _close(bench: Bench) -> None:
    run = bench.opened()
    run.close().value()
    run.close().value()
    bench.run().close().value()


def _closed(bench: Bench) -> None:
    run = bench.opened()
    run.close().value()
    refuses_everything(run, "after Close")


def _older_epoch(bench: Bench) -> None:
    run = bench.opened()
    epoch = run.opening.call.epoch
    older = run.call(epoch=epoch - 1)
    run.try_open(call=older).refused(StaleEpoch, "with an older epoch")
    run.try_propose(epoch=epoch - 1).refused(StaleEpoch, "with an older epoch")
    run.try_ingest([pb.Event(seq=1)], epoch=epoch - 1).refused(StaleEpoch, "with an older epoch")
    run.try_assess(epoch=epoch - 1).refused(StaleEpoch, "with an older epoch")
    run.close(epoch=epoch - 1)
    if run.try_assess().response is None:
        raise Violation("an older engine's Close has closed the run of a newer one")


def _newer_epoch(bench: Bench) -> None:
    run = bench.opened()
    first = run.candidates(2)
    run.admit(run.request_id(), first)
    run.ingest()
    run.opening.call.epoch += 1
    opened = run.open()
    if opened.applied_seq != 0:
        raise Violation(f"Open with a newer epoch and no checkpoint contains event {opened.applied_seq}")
    again = run.candidates(2)
    if bench.is_deterministic and again != first:
        raise Violation("a run that a newer epoch opened does not begin like the first time")


CHECKS: Final = (
    Check(
        "core/fields-of-open",
        "Open without a run, a problem, its task, input or classes is INVALID_ARGUMENT, and a BadRequest names it.",
        Level.CORE,
        _fields_of_open,
    ),
    Check(
        "core/fields-of-propose",
        "Propose without a run, a request id or a want is INVALID_ARGUMENT, and a BadRequest names the path.",
        Level.CORE,
        _fields_of_propose,
    ),
    Check(
        "core/fields-of-ingest",
        "Ingest without a run is INVALID_ARGUMENT, and a BadRequest names the path.",
        Level.CORE,
        _fields_of_ingest,
    ),
    Check(
        "core/fields-of-assess",
        "Assess without a run is INVALID_ARGUMENT, and a BadRequest names the path.",
        Level.CORE,
        _fields_of_assess,
    ),
    Check(
        "core/unknown-settings",
        "A setting that the schema does not know is refused as INVALID_ARGUMENT, or a diagnostic names it.",
        Level.CORE,
        _unknown_settings,
    ),
    Check(
        "core/unknown-task",
        "A task that the plugin does not list is FAILED_PRECONDITION / UNSUPPORTED_PROBLEM.",
        Level.CORE,
        _unknown_task,
    ),
    Check(
        "core/validate-only",
        "Open with validate_only opens nothing, and leaves what is open as it is.",
        Level.CORE,
        _validate_only,
    ),
    Check(
        "core/not-open",
        "Propose, Ingest and Assess before Open are FAILED_PRECONDITION / RUN_NOT_OPEN of the domain.",
        Level.CORE,
        _not_open,
    ),
    Check(
        "core/open-twice",
        "A second Open of the same run and epoch resets it to the same beginning.",
        Level.CORE,
        _open_twice,
    ),
    Check("core/close", "Close is OK twice, and for an unknown run.", Level.CORE, _close),
    Check("core/closed", "After Close, the run is RUN_NOT_OPEN.", Level.CORE, _closed),
    Check(
        "core/older-epoch",
        "A call with an older epoch is ABORTED / STALE_EPOCH, and cannot close the run.",
        Level.CORE,
        _older_epoch,
    ),
    Check("core/newer-epoch", "Open with a newer epoch resets the run.", Level.CORE, _newer_epoch),
)
