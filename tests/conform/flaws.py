"""Every flaw, and the checks that have to find it: the table of `broken.py`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import conform.faults as fault
import conform.late_faults as late
import conform.oddities as odd
from conform.climbing import ClimbingRun, promoted
from conform.ladder import LadderRun
from conform.widening import WideningRun, best
from neunets.synthesizer import Candidate, Exhausted, Problem, Wait
from neunets.synthesizer.serve import SERVICE
from neunets.synthesizer.v1 import synthesizer_pb2 as pb

__all__ = ["FLAWS", "ODDITIES", "Flaw"]

# (facade, what is due, request, context) → what is answered instead.
Call: TypeAlias = Callable[[Any, Callable[..., Any], Any, Any], Any]
NO_CALLS: Final[Mapping[str, Call]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Flaw:
    """`found_by`: the checks that fail, and no other does.

    `evolves`: the plugin is Widening, `climbs`: it is Climbing, not Ladder.
    """

    found_by: tuple[str, ...] = ()
    calls: Mapping[str, Call] = field(default_factory=lambda: NO_CALLS)
    describes: Callable[[pb.DescribeResponse], None] = lambda description: None
    registers: Callable[[pb.RegisterRequest], None] = lambda request: None
    alter: Callable[[int, Candidate, Problem], Candidate] = lambda k, candidate, problem: candidate
    answers: Callable[[LadderRun], Wait | Exhausted | None] = lambda run: None
    skip: Callable[[LadderRun], int] = lambda run: 0
    evolves: bool = False
    parent: Callable[[WideningRun], str | None] = best
    climbs: bool = False
    continues: Callable[[ClimbingRun], list[str]] = promoted
    healthy_names: tuple[str, ...] = ("", SERVICE)
    has_reflection: bool = True
    renews: bool = True
    largest_message: int = 4 << 20


def _of(check: str, **calls: Call) -> Flaw:
    return Flaw((check,), calls)


def _ruled(**fields: Any) -> Flaw:
    calls = {"Assess": late.gives_rule(**fields)}
    return Flaw(("core/stop-rules",), describes=odd.declares_rules, calls=calls)


# What the contract allows.
ODDITIES: Final[Mapping[str, Flaw]] = {
    "none": Flaw(),
    "waits": Flaw(answers=odd.waits),
    "thinks": Flaw(answers=odd.thinks),
    "exhausts": Flaw(answers=odd.exhausts),
    "surprises": Flaw(describes=odd.is_not_deterministic, alter=odd.surprises),
    "one-run": Flaw(describes=odd.opens_one_run, calls={"Open": odd.opens_one, "Close": odd.closes_one}),
    "evolves": Flaw(evolves=True),
    "climbs": Flaw(climbs=True),
    "ends-early": Flaw(describes=odd.declares_stops_and_rules, calls={"Assess": odd.ends_early}),
    "declares-much": Flaw(describes=odd.declares_much),
    "keeps-checkpoints": Flaw(
        describes=fault.declares_snapshot,
        calls={"Open": odd.reads_checkpoints, "Ingest": odd.hands_out_events, "Snapshot": odd.snapshots},
    ),
}
FLAWS: Final[Mapping[str, Flaw]] = {
    "flaky": Flaw(calls={"Assess": late.fails_in_the_second_repetition}),
    "describes-slowly": _of("core/describe-in-time", Describe=fault.describes_slowly),
    "describes-differently": _of("core/describe-stable", Describe=fault.describes_differently),
    "bad-schema": Flaw(("core/describe-schema",), describes=fault.bad_schema),
    "bad-name": Flaw(("core/describe-name",), describes=fault.bad_name),
    "no-batch": Flaw(("core/describe-batch",), describes=fault.no_batch),
    "unknown-op": Flaw(("core/describe-ops",), describes=fault.unknown_op),
    "nameless-health": Flaw(("core/health",), healthy_names=("",)),
    "no-reflection": Flaw(("core/reflection",), has_reflection=False),
    "registers-another": Flaw(("core/register",), registers=fault.registers_another),
    "never-renews": Flaw(("core/lease",), renews=False),
    "opens-without-input": _of("core/fields-of-open", Open=fault.opens_without_input),
    "unnamed-field": _of("core/fields-of-propose", Propose=fault.unnamed_field),
    "ingests-without-run": _of("core/fields-of-ingest", Ingest=late.ingests_without_run),
    "assesses-without-run": _of("core/fields-of-assess", Assess=late.assesses_without_run),
    "takes-any-setting": _of("core/unknown-settings", Open=fault.takes_any_setting),
    "takes-any-task": _of("core/unknown-task", Open=fault.takes_any_task),
    "opens-to-validate": _of("core/validate-only", Open=fault.opens_to_validate),
    "foreign-domain": _of("core/not-open", Open=fault.remembers, Assess=late.foreign_domain),
    "opens-once": _of("core/open-twice", Open=fault.opens_once, Close=fault.forgets),
    "closes-once": _of("core/close", Open=fault.remembers, Close=fault.closes_once),
    "never-closes": _of("core/closed", Close=fault.never_closes),
    "takes-older-epochs": _of("core/older-epoch", Open=fault.remembers, Propose=fault.takes_older_epochs),
    "keeps-through-epochs": _of("core/newer-epoch", Open=fault.keeps_through_epochs),
    "one-too-many": _of("core/propose-want", Propose=fault.one_too_many),
    "exceeds-beyond-batch": _of("core/propose-beyond-batch", Propose=fault.exceeds_beyond_batch),
    "answers-differently": _of("core/propose-repeat", Propose=fault.answers_differently),
    "fails-on-reuse": _of("core/request-reused", Propose=fault.fails_on_reuse),
    "proposes-at-any-seq": _of("core/propose-log-seq", Propose=fault.at_any_seq),
    "lost-by-deadline": _of("core/deadline", Propose=fault.lost_by_deadline),
    "lost-by-cancel": _of("core/cancel", Propose=fault.lost_by_cancel),
    "fails-in-flight": _of("core/in-flight", Propose=fault.fails_in_flight),
    "breaks-off": Flaw(("core/search",), alter=fault.breaks_off),
    "dead-node": Flaw(("core/candidates-build",), alter=fault.dead_node),
    "too-large": Flaw(("core/candidates-constraints",), alter=fault.too_large),
    "undeclared-op": Flaw(("core/candidates-ops",), describes=fault.undeclared_op),
    "wild-recipe": Flaw(("core/candidates-recipe",), alter=fault.wild_recipe),
    "proposes-twice": Flaw(("core/candidates-distinct",), alter=fault.proposes_twice),
    "unknown-parent": Flaw(("core/candidates-ancestry",), alter=fault.unknown_parent),
    "many-labels": Flaw(("core/candidates-labels",), alter=fault.many_labels),
    "undeclared-lineage": Flaw(("core/lineage-declared",), evolves=True, describes=fault.undeclared_inheritance),
    "heirs-of-failures": Flaw(("core/lineage-parent",), evolves=True, parent=fault.heirs_of_failures),
    "heirs-of-the-living": Flaw(("core/lineage-parent",), evolves=True, parent=fault.heirs_of_the_living),
    "missing-node": Flaw(("core/lineage-applies",), evolves=True, alter=fault.missing_node),
    "told-twice": Flaw(("core/lineage-agrees",), evolves=True, alter=fault.told_twice),
    "undeclared-continuation": Flaw(
        ("core/continuation-declared",), climbs=True, describes=fault.undeclared_continuation
    ),
    "continues-failures": Flaw(("core/continuation-ended",), climbs=True, continues=fault.continues_failures),
    "continues-the-living": Flaw(("core/continuation-ended",), climbs=True, continues=fault.continues_the_living),
    "continues-twice": Flaw(("core/continuation-ended",), climbs=True, continues=fault.continues_twice),
    "no-larger-total": Flaw(("core/continuation-ended",), climbs=True, alter=fault.no_larger_total),
    "counts-repeats": _of("core/ingest-repeat", Ingest=late.counts_repeats),
    "refuses-overlap": _of("core/ingest-overlap", Ingest=late.refuses_overlap),
    "leaps-gaps": _of("core/ingest-gap", Ingest=late.leaps_gaps),
    "fails-on-stopped": _of("core/trial-ends", Ingest=late.fails_on_stopped),
    "fails-on-nan": _of("core/trial-nan", Ingest=late.fails_on_nan),
    "fails-on-retry": _of("core/trial-retried", Ingest=late.fails_on_retry),
    "fails-without-success": _of("core/all-failed", Ingest=late.fails_without_success),
    "fails-on-rejection": _of("core/rejected", Ingest=late.fails_on_rejection),
    "fails-on-unknown-event": _of("core/unknown-event", Ingest=late.fails_on_unknown_event),
    "fails-on-unknown-field": _of("core/unknown-field", Open=fault.fails_on_unknown_field),
    "fails-on-unknown-enum": _of("core/unknown-enum", Ingest=late.fails_on_unknown_enum),
    "small-messages": Flaw(("core/large-request",), largest_message=512 << 10),
    "no-first-verdict": _of("core/assess-first", Assess=late.no_first_verdict),
    "one-verdict": _of("core/assess-repeat", Assess=late.one_verdict),
    "more-than-done": _of("core/assess-progress", Assess=late.more_than_done),
    "divides-by-budget": _of("core/assess-zero-budget", Assess=late.divides_by_budget),
    "assesses-at-any-seq": _of("core/assess-log-seq", Assess=fault.at_any_seq),
    "counts-assessments": _of("core/assess-pure", Assess=late.counts_assessments),
    "stops-strangers": Flaw(
        ("core/assess-stops",), describes=odd.declares_stops, calls={"Assess": late.stops_strangers}
    ),
    "undeclared-stop": Flaw(("core/stop-declared",), describes=odd.declares_rules, calls={"Assess": odd.ends_early}),
    "undeclared-rules": Flaw(("core/stop-declared",), describes=odd.declares_stops, calls={"Assess": odd.ends_early}),
    "rule-of-nothing": _ruled(metric=""),
    "rule-of-no-number": _ruled(at_least=math.nan),
    "rule-of-the-past": _ruled(epoch=-1.0),
    "rule-without-reason": _ruled(reason=""),
    "mixes-runs": Flaw(("core/interleaved",), skip=fault.mixes_runs),
    "fails-in-a-crowd": _of("core/concurrent", Propose=fault.fails_in_a_crowd),
    "long-strings": Flaw(("core/limits",), alter=fault.long_strings),
    "silent-snapshot": _of("core/snapshot-undeclared", Snapshot=late.silent_snapshot),
    "declares-snapshot": Flaw(("core/snapshot",), describes=fault.declares_snapshot),
    "remembers-nothing": Flaw(
        ("recovery/killed-at-boundaries", "recovery/killed-in-propose"), alter=fault.depends_on_its_process
    ),
    "takes-the-last-epoch": _of("recovery/stale-epoch", Open=fault.remembers, Propose=fault.takes_the_last_epoch),
    "impatient": _of("recovery/paused", Propose=fault.impatient),
    "lost-without-host": _of("recovery/engine-restart", Open=late.lost_without_host),
    "wrong-checkpoint": _of("recovery/checkpoint", Ingest=late.hands_out, Open=late.wrong_checkpoint),
    "reads-garbage": _of("recovery/bad-checkpoint", Ingest=late.hands_out),
    "replays-slowly": _of("recovery/long-replay", Ingest=late.replays_slowly),
    "leaks": _of("recovery/memory", Ingest=late.leaks),
}
