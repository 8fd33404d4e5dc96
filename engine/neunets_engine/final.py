"""Which trainings end a run: the winner trained on, trained anew, and the measurement of the one that is exported."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine.store import has_result

__all__ = ["FinalPlan", "closing", "winner"]

# How the rate goes in a training of inherited weights; a final one is longer, and has the rates of a whole training.
Field = Literal["schedule", "cycles", "learning_rate", "warmup"]
RESTART: Final[tuple[Field, ...]] = ("schedule", "cycles", "learning_rate", "warmup")


@dataclass(frozen=True, slots=True)
class FinalPlan:
    """Decides from what the store holds, so that a restarted engine decides alike."""

    best: store_pb2.TrialRecord  # of the search
    made: int  # trials of the run so far
    slots: int
    metric: str

    def next(self, finals: Sequence[store_pb2.TrialRecord], trains: bool, both: bool) -> list[store_pb2.TrialRecord]:
        """What follows `finals`, of which none is open any more.

        `trains`: there is time left for training; `both`: enough to train the winner on and anew.
        """
        if finals or not trains:
            return [self._closing(finals)]
        if not both:
            return [self._training(0, continues=True, closes=True, threads=self.slots)]
        half = max(1, self.slots // 2)
        return [
            self._training(number, continues=continues, closes=False, threads=half)
            for number, continues in enumerate((True, False))
        ]

    def _training(self, number: int, *, continues: bool, closes: bool, threads: int) -> store_pb2.TrialRecord:
        trial = _trial(self.best, self.made + 1 + number, self.best.result.artifacts["weights"])
        trial.continues, trial.closes, trial.threads = continues, closes, threads
        trial.recipe.CopyFrom(self.best.asked)
        trial.recipe.ClearField("total")
        # Asked for one rung of a training, or for a short one of weights that were good already.
        is_rung = trial.recipe.schedule == synthesizer_pb2.SCHEDULE_CONSTANT
        if is_rung or self.best.lineage:
            for field in RESTART:
                trial.recipe.ClearField(field)
        if is_rung:  # in place of a rate that falls
            trial.recipe.ClearField("averaging")
        return trial

    def _closing(self, finals: Sequence[store_pb2.TrialRecord]) -> store_pb2.TrialRecord:
        """Only evaluates: the best of what the search and the final trainings left."""
        kept = max([self.best, *filter(has_result, finals)], key=self._rank)
        return closing(self.best, kept, self.made, self.slots)

    def _rank(self, trial: store_pb2.TrialRecord) -> tuple[float, float]:
        """Larger is better; of equals the first of the order above is taken."""
        metrics = trial.result.metrics
        rank = (metrics.get(self.metric, float("-inf")), -metrics.get("valid_loss", float("inf")))
        return (float("-inf"), float("-inf")) if any(map(math.isnan, rank)) else rank


def winner(
    trials: Sequence[store_pb2.TrialRecord], best: store_pb2.TrialRecord, metric: str, rows: int
) -> store_pb2.TrialRecord:
    """Of the search's `trials`, the one whose network the final training gets; `rows`: of the validation split.

    What differs from the `best` by no more than the standard error of a share of so many rows is equal to it. Of equal
    networks the one that has seen the fewest epochs is taken, with those of whom it has inherited: it learns the most
    from an example, and the final training, which is longer, is where that counts.
    """
    by_name = {trial.trial: trial for trial in trials}

    def seen(trial: store_pb2.TrialRecord) -> float:
        epochs = trial.result.metrics.get("epochs", math.inf)
        inherits = trial.lineage and trial.parent in by_name
        return epochs + seen(by_name[trial.parent]) if inherits else epochs

    top = best.result.metrics[metric]
    error = math.sqrt(max(top * (1.0 - top), 0.0) / max(rows, 1))
    trained = (trial for trial in trials if has_result(trial) and "weights" in trial.result.artifacts)
    equal = [trial for trial in trained if trial.result.metrics.get(metric, -math.inf) >= top - error]
    return min([best, *equal], key=lambda trial: (seen(trial), -trial.result.metrics[metric], trial.trial))


def closing(best: store_pb2.TrialRecord, kept: store_pb2.TrialRecord, made: int, slots: int) -> store_pb2.TrialRecord:
    """A trial that trains nothing: the weights that `kept` has left, of the network of `best`, on the test set."""
    trial = _trial(best, made + 1, kept.result.artifacts["weights"])
    trial.closes, trial.threads = True, slots
    trial.recipe.CopyFrom(kept.recipe)
    trial.recipe.ClearField("total")
    trial.recipe.epochs = 0.0
    return trial


def _trial(best: store_pb2.TrialRecord, number: int, incumbent: synthesizer_pb2.ArtifactRef) -> store_pb2.TrialRecord:
    return store_pb2.TrialRecord(
        run=best.run,
        trial=f"t{number:06d}",
        candidate=best.candidate,
        graph=best.graph,
        asked=best.asked,
        params=best.params,
        flops=best.flops,
        activation_bytes=best.activation_bytes,
        rationale=best.rationale,
        state=service_pb2.TRIAL_STATE_WAITING,
        accumulate=best.accumulate,
        final_of=best.trial,
        incumbent=incumbent,
        injected=best.injected,
    )
