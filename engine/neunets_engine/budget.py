"""How a budget is spent: the search's share, the seconds or epochs of a trial, the final training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from neunets.cost import STEP_COST
from neunets.errors import InvalidRequest
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2

__all__ = ["BudgetPlan", "usual_batch"]

# Share of the wall time after which nothing new is trained for the search. The rest trains the winner on, at its full
# length and with every core: a search that takes more loses more to a fixed network than it finds.
SEARCH_SHARE: Final = 0.25
# Times the search's share after which its last trials are told to finish.
LATE: Final = 1.25
TRIALS_A_SLOT: Final = 4
SHORTEST_TRIAL_S: Final = 2.0
LONGEST_TRIAL_S: Final = 600.0
# Less is no training: a run without a network tries no other one in it.
SHORTEST_FIRST_S: Final = 0.1
# A trial that sees less than about the whole training split once tells networks apart badly; of a slot, roughly.
EXAMPLES_A_SECOND: Final = 10_000
# Export, its check and the client's download, inside the budget.
EXPORT_RESERVE_S: Final = 2.0
SHORTEST_RUN_S: Final = 5.0
# Without a wall budget a trial sees about so many examples, within so many epochs; the final training more.
EXAMPLES_A_TRIAL: Final = 200_000
MOST_EPOCHS: Final = 30.0
FINAL_FACTOR: Final = 3.0
# FLOPs a second of a slot that nothing was measured on: a slow core's.
SLOT_FLOPS: Final = 2e10
LARGEST_BATCH: Final = 128
# An epoch has at least about so many steps.
STEPS_AN_EPOCH: Final = 16
# Of the wall budget, what a measurement before the search may cost.
MEASUREMENT_SHARE: Final = 0.02
# What several threads do for one training, over what they would do for one each.
THREAD_EFFICIENCY: Final = 0.8
# With so many epochs for each of them, half the cores train the winner on and half train it anew, and the better of
# both is kept; with fewer, the network that goes on keeps all cores.
ENOUGH_EPOCHS: Final = 60.0


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """Decides totals from what was used; holds no state, so that a restarted engine decides alike.

    `began_s`: wall seconds that were used before a worker was ready. They are not the search's.
    """

    wall_s: float | None
    trials: int | None
    slots: int
    train_rows: int
    test_rows: int = 0
    began_s: float = 0.0

    @staticmethod
    def of(spec: service_pb2.RunSpec, slots: int, train_rows: int, test_rows: int = 0) -> BudgetPlan:
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
        return BudgetPlan(wall_s, trials, slots, train_rows, test_rows)

    def beginning(self, began_s: float) -> BudgetPlan:
        """The plan of a run whose first worker was ready after so many wall seconds."""
        return replace(self, began_s=began_s if self.wall_s is None else min(began_s, self.wall_s))

    def search_s(self) -> float:
        """Wall seconds of the search; infinite without a wall budget."""
        return float("inf") if self.wall_s is None else SEARCH_SHARE * (self.wall_s - self.began_s)

    def search_end_s(self) -> float:
        """Wall seconds from the start at which the search's last trial ends; infinite without a wall budget."""
        return self.began_s + self.search_s()

    def late_s(self, used_s: float, *, is_first: bool = False) -> float:
        """Wall seconds from now after which the search's trials are told to finish with what they have.

        `is_first`: the run has no network yet. The first one may take half of what is left.
        """
        late_s = self.began_s + LATE * self.search_s() - used_s
        return max(late_s, (self.wall_s - used_s) / 2) if is_first and self.wall_s is not None else late_s

    def trial_s(self, used_s: float) -> float | None:
        """Device seconds of a search trial that starts now; None: no time is left for one. Needs a wall budget.

        What is left is cut into equal rounds, so that no slot stands idle at the end.
        """
        left, search_s = self.search_end_s() - used_s, self.search_s()
        if search_s <= 0.0:
            return None
        rounds_at_all = TRIALS_A_SLOT if self.trials is None else max(1, -(-self.trials // self.slots))
        # In a short search even one trial is shorter: it is better than none.
        shortest_s = min(max(SHORTEST_TRIAL_S, self.train_rows / EXAMPLES_A_SECOND), search_s)
        whole = search_s / min(rounds_at_all, max(1, int(search_s / shortest_s)))
        usual = min(max(whole, shortest_s), LONGEST_TRIAL_S)
        rounds = round(left / usual)
        return left / rounds if rounds >= 1 else None

    def search_total(self, used_s: float, *, is_first: bool = False) -> synthesizer_pb2.Recipe | None:
        """The total of a trial that starts now; None: the search's time is over.

        `is_first`: the run has no network yet. It trains one as long as there is time at all: workers may have started
        late, been busy with other runs, or have failed at all networks before.
        """
        if self.wall_s is None:
            return synthesizer_pb2.Recipe(epochs=self._epochs())
        seconds = self.trial_s(used_s)
        if seconds is None and is_first:
            left = SEARCH_SHARE * (self.wall_s - EXPORT_RESERVE_S - used_s)
            seconds = left if left >= SHORTEST_FIRST_S else None
        return None if seconds is None else synthesizer_pb2.Recipe(device_s=seconds)

    def trial_total(
        self,
        used_s: float,
        flops: int,
        slot_flops: float | None,
        epochs: float | None = None,
        *,
        is_first: bool = False,
    ) -> synthesizer_pb2.Recipe | None:
        """As `search_total`, of a trial of a network of so many `flops`; `epochs`: of the run's first one.

        Where the user has not said how many trials there are, all have as many epochs as the first one's time is for,
        and see the data once at least. Within equal times the smallest networks would be ahead, since they have seen
        the data most often: a short trial asks how much is learned of an example.
        """
        total, left = self.search_total(used_s, is_first=is_first), self.search_end_s() - used_s
        if total is None or left <= 0.0 or total.WhichOneof("total") != "device_s":
            return total
        if self.trials is not None or slot_flops is None:
            return total
        epoch_s = STEP_COST * flops * self.train_rows / slot_flops
        epochs = epochs or max(1.0, total.device_s / epoch_s)
        if epochs * epoch_s > left:
            return synthesizer_pb2.Recipe(device_s=left)
        return synthesizer_pb2.Recipe(epochs=epochs)

    def final_total(self, used_s: float, reserve_s: float = 0.0) -> synthesizer_pb2.Recipe:
        """Of a final training, were it to start now; it leaves `reserve_s` over. Zero epochs: only evaluate."""
        if self.wall_s is None:
            return synthesizer_pb2.Recipe(epochs=FINAL_FACTOR * self._epochs())
        left = self.wall_s - used_s - EXPORT_RESERVE_S - reserve_s
        return synthesizer_pb2.Recipe(device_s=left) if left > 1.0 else synthesizer_pb2.Recipe(epochs=0.0)

    def has_time(self, used_s: float) -> bool:
        """Whether a training that starts now could still be the final one."""
        return self.wall_s is None or self.final_total(used_s).device_s > 0.0

    def epochs_of(self, total: synthesizer_pb2.Recipe, flops: int, slot_flops: float | None, threads: int) -> float:
        """Epochs that a training will come to, by the measured speed of a slot; `flops` of evaluating one example."""
        if total.WhichOneof("total") != "device_s":
            return total.epochs or total.steps * (total.batch_size or usual_batch(self.train_rows)) / self.train_rows
        speed = (slot_flops or SLOT_FLOPS) * (1.0 if threads < 2 else THREAD_EFFICIENCY * threads)
        return total.device_s * speed / (STEP_COST * max(flops, 1) * self.train_rows)

    def trains_both(self, used_s: float, flops: int, slot_flops: float | None, slots: int | None = None) -> bool:
        """Whether there is time to train the winner on and, beside it, anew. `slots`: of the run; None: all."""
        if self.wall_s is None:
            return True
        half = (slots or self.slots) // 2
        total = self.final_total(used_s, self.closing_s(flops, slot_flops))
        return half > 0 and self.epochs_of(total, flops, slot_flops, half) >= ENOUGH_EPOCHS

    def affords(self, seconds: float) -> bool:
        """Whether a measurement of so many seconds is a small part of the wall budget."""
        return self.wall_s is None or seconds <= MEASUREMENT_SHARE * self.wall_s

    def closing_s(self, flops: int, slot_flops: float | None) -> float:
        """Seconds to lease and make the measurement of the test set that follows two final trainings."""
        return 1.0 + 2.0 * self.test_rows * flops / (slot_flops or SLOT_FLOPS)

    def message(self, used_s: float, trials_made: int, slot_flops: float | None) -> synthesizer_pb2.Budget:
        """As the plugin sees it."""
        budget = synthesizer_pb2.Budget(slots=self.slots, slot_flops=slot_flops)
        if self.wall_s is not None:
            budget.wall_s = self.wall_s
            budget.wall_s_left = max(0.0, self.search_end_s() - used_s)
        if self.trials is not None:
            budget.trials = self.trials
            budget.trials_left = max(0, self.trials - trials_made)
        return budget

    def _epochs(self) -> float:
        return float(min(max(EXAMPLES_A_TRIAL / self.train_rows, 1.0), MOST_EPOCHS))


def usual_batch(train_rows: int) -> int:
    """Examples of a step, where nobody says."""
    return min(LARGEST_BATCH, max(8, train_rows // STEPS_AN_EPOCH))
