"""What a run says of its state, in sentences for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2

__all__ = ["ending_words", "nothing_trained", "pausing_words", "verdict_words"]

# The bound of a stranger's words in a sentence.
LETTERS: Final = 600
RESUME: Final = "`neunets resume RUN`"
VERDICTS = synthesizer_pb2.AssessResponse


def pausing_words(run_id: str, why: str) -> str:
    """Why a run is PAUSED; it ends with the command that goes on."""
    command = RESUME.replace("RUN", run_id)
    return why.replace(RESUME, command) if RESUME in why else f"{_shortened(why)}; go on with {command}"


def verdict_words(answer: synthesizer_pb2.AssessResponse) -> str:
    """The reason of a verdict; a verdict to go on without a reason has an empty one."""
    known = answer.verdict in VERDICTS.Verdict.values()  # one of a later version says nothing
    if not known or answer.verdict in (VERDICTS.VERDICT_UNSPECIFIED, VERDICTS.VERDICT_CONTINUE):
        return _shortened(answer.reason)
    verdict = VERDICTS.Verdict.Name(answer.verdict).removeprefix("VERDICT_").lower().replace("_", " ")
    return _shortened(f"{verdict}: {answer.reason}" if answer.reason else verdict)


def ending_words(record: store_pb2.RunRecord) -> str:
    """Why a search is over."""
    if record.search_end:
        return record.search_end
    spec = record.run.spec
    if spec.HasField("trials") and record.run.trials_ended >= spec.trials:
        return f"the {spec.trials} trials of its budget are made"
    return "the time of its search is used"


def nothing_trained(record: store_pb2.RunRecord, trials: Sequence[store_pb2.TrialRecord]) -> str:
    """Why a run has no model."""
    tried = [trial.result for trial in trials if trial.HasField("result")]
    if tried:
        return f"none of {len(tried)} networks could be trained; the last one: {tried[-1].error.summary or 'no result'}"
    if record.search_end:
        return f"no network was trained: {record.search_end}"
    if record.run.rejected:
        return f"no network was trained: all {record.run.rejected} that were proposed were rejected"
    said = f"; {record.run.spec.synthesizer} said last: {record.waits_for}" if record.waits_for else ""
    fix = "give it more time, or a larger bound on the parameters"
    return f"no network was trained within the budget: {fix}{said}"


def _shortened(text: str) -> str:
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 2]} …"
