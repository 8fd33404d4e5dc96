"""What a plugin may make the engine keep: candidates, verdicts and rules that are larger are refused or shortened."""

from __future__ import annotations

import math
from typing import Final

from neunets.errors import PluginFault
from neunets.messages import CANDIDATE_BYTES, LINEAGE_STEPS
from neunets.sentences import LONGEST, sentence
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2

__all__ = ["MOST_RULES", "check_rejected", "excess", "stub", "verdict_of"]

MOST_LABELS: Final = 16
MOST_PARENTS: Final = 64
# One assessment has at most as many stop rules, and trials to stop.
MOST_RULES: Final = 256
# A run keeps more rejected candidates than these only while so many times its trials are not reached.
MOST_REJECTED, REJECTED_SHARE = 10_000, 10


def excess(candidate: synthesizer_pb2.Candidate) -> tuple[str, str]:
    """(path, why) where a candidate is larger than the contract allows; empty: it is not."""
    if (size := candidate.ByteSize()) > CANDIDATE_BYTES:
        return "graph", f"the candidate has {size:,} bytes, at most {CANDIDATE_BYTES:,} are allowed"
    for path, count, most in (
        ("labels", len(candidate.labels), MOST_LABELS),
        ("parents", len(candidate.parents), MOST_PARENTS),
        ("lineage", len(candidate.lineage), LINEAGE_STEPS),
    ):
        if count > most:
            return path, f"{count:,} entries, at most {most} are allowed"
    texts = [("local_id", candidate.local_id), *(("parents", name) for name in candidate.parents)]
    texts += [("labels", text) for label in candidate.labels.items() for text in label]
    for path, text in texts:
        if (size := len(text.encode())) > LONGEST:
            return path, f"a string of {size:,} bytes, at most {LONGEST} are allowed"
    return "", ""


def check_rejected(record: store_pb2.RunRecord) -> None:
    """Raises: PluginFault where a run is to keep no more rejected candidates."""
    run = record.run
    if run.rejected > max(MOST_REJECTED, REJECTED_SHARE * record.trials):
        text = f"{run.rejected:,} of its candidates were rejected, {record.trials:,} became trials"
        raise PluginFault(f"synthesizer {run.spec.synthesizer}: {text}; the run keeps no more of them")


def stub(candidate: synthesizer_pb2.Candidate) -> synthesizer_pb2.Candidate:
    """What is kept of a candidate that is too large."""
    return synthesizer_pb2.Candidate(local_id=sentence(candidate.local_id), rationale=sentence(candidate.rationale))


def verdict_of(answer: synthesizer_pb2.AssessResponse) -> service_pb2.Verdict:
    """The verdict as it is kept: a progress that is no number of 0..1 is left out."""
    verdict = service_pb2.Verdict(verdict=answer.verdict, reason=sentence(answer.reason))
    if answer.HasField("progress") and math.isfinite(answer.progress) and 0.0 <= answer.progress <= 1.0:
        verdict.progress = answer.progress
    return verdict
