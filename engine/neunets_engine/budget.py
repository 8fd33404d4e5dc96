"""How a budget is spent: the search's share, the seconds or epochs of a trial, the final training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from neunets.errors import InvalidRequest
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2

__all__ = ["BudgetPlan", "complete"]

# Share of the wall time after which nothing new is trained for the search. The rest trains the winner, at its full
# length and with every core.
SEARCH_SHARE: Final = 0.4
TRIALS_A_SLOT: Final = 4
SHORTEST_TRIAL_S: Final = 2.0
LONGEST_TRIAL_S: Final = 600.0
# Export, its check and the client's download, inside the budget.
EXPORT_RESERVE_S: Final = 3.0
SHORTEST_RUN_S: Final = 5.0
# Without a wall budget a trial sees about so many examples, within so many epochs; the final training more.
EXAMPLES_A_TRIAL: Final = 200_000
MOST_EPOCHS: Final = 30.0
FINAL_FACTOR: Final = 3.0


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """Decides totals from what was used; holds no state, so that a restarted engine decides alike."""

    wall_s: float | None
    trials: int | None
    slots: int
    train_rows: int

    @staticmethod
    def of(spec: service_pb2.RunSpec, slots: int, train_rows: int) -> BudgetPlan:
        """Raises: InvalidRequest."""
        wall_s = spec.wall_s if spec.HasField("wall_s") else None
        trials = spec.trials if spec.HasField("trials") else None
        if wall_s is None and trials is None:
            raise InvalidRequest("spec.wall_s", "give a budget: seconds (wall_s), a number of trials (trials), or both")
        if wall_s is not None and not SHORTEST_RUN_S <= wall_s < 1e9:
            text = f"{wall_s:g} s: at least {SHORTEST_RUN_S:g} s are needed to train and export a network"
            raise InvalidRequest("spec.wall_s", text)
        if trials is not None and trials < 1:
            raise InvalidRequest("spec.trials", "at least 1 is needed")
        return BudgetPlan(wall_s, trials, slots, train_rows)

    def search_end_s(self) -> float:
        """Wall seconds from the start at which the search's last trial ends; infinite without a wall budget."""
        return float("inf") if self.wall_s is None else SEARCH_SHARE * self.wall_s

    def trial_s(self, used_s: float) -> float | None:
        """Device seconds of a search trial that starts now; None: no time is left for one. Needs a wall budget.

        What is left is cut into equal rounds, so that no slot stands idle at the end.
        """
        left = self.search_end_s() - used_s
        rounds_at_all = TRIALS_A_SLOT if self.trials is None else max(1, -(-self.trials // self.slots))
        whole = self.search_end_s() / min(rounds_at_all, max(1, int(self.search_end_s() / SHORTEST_TRIAL_S)))
        usual = min(max(whole, SHORTEST_TRIAL_S), LONGEST_TRIAL_S)
        rounds = round(left / usual)
        return left / rounds if rounds >= 1 else None

    def search_total(self, used_s: float) -> synthesizer_pb2.Recipe | None:
        """The total of a trial that starts now; None: the search's time is over."""
        if self.wall_s is None:
            return synthesizer_pb2.Recipe(epochs=self._epochs())
        seconds = self.trial_s(used_s)
        return None if seconds is None else synthesizer_pb2.Recipe(device_s=seconds)

    def final_total(self, used_s: float) -> synthesizer_pb2.Recipe:
        """The total of the final training, were it to start now. Zero epochs: only evaluate."""
        if self.wall_s is None:
            return synthesizer_pb2.Recipe(epochs=FINAL_FACTOR * self._epochs())
        left = self.wall_s - used_s - EXPORT_RESERVE_S
        return synthesizer_pb2.Recipe(device_s=left) if left > 1.0 else synthesizer_pb2.Recipe(epochs=0.0)

    def message(self, used_s: float, trials_made: int) -> synthesizer_pb2.Budget:
        """As the plugin sees it."""
        budget = synthesizer_pb2.Budget(slots=self.slots)
        if self.wall_s is not None:
            budget.wall_s = self.wall_s
            budget.wall_s_left = max(0.0, self.search_end_s() - used_s)
        if self.trials is not None:
            budget.trials = self.trials
            budget.trials_left = max(0, self.trials - trials_made)
        return budget

    def _epochs(self) -> float:
        return float(min(max(EXAMPLES_A_TRIAL / self.train_rows, 1.0), MOST_EPOCHS))


def complete(
    asked: synthesizer_pb2.Recipe, total: synthesizer_pb2.Recipe, train_rows: int = 1 << 30
) -> synthesizer_pb2.Recipe:
    """Fill every field that `asked` leaves open; `total` gives epochs or device_s where it names neither."""
    batch = min(128, max(8, train_rows // 16))
    recipe = synthesizer_pb2.Recipe(
        schedule=synthesizer_pb2.SCHEDULE_ONE_CYCLE,
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=5e-4,
        label_smoothing=0.1,
        batch_size=batch,
        warmup=0.2,
        shift=0,
        mirror=False,
    )
    recipe.MergeFrom(asked)
    if recipe.schedule == synthesizer_pb2.SCHEDULE_UNSPECIFIED:
        recipe.schedule = synthesizer_pb2.SCHEDULE_ONE_CYCLE
    if recipe.WhichOneof("total") is None:
        recipe.MergeFrom(total)
    return recipe
