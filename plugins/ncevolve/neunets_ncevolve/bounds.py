"""How large networks may be: the user's bounds, and what the budget affords."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neunets.cost import Cost
from neunets.synthesizer import Budget, Problem

__all__ = ["Bounds"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Most parameters, and operations of one example; infinite: no bound."""

    params: float = math.inf
    flops: float = math.inf

    @staticmethod
    def of(problem: Problem) -> Bounds:
        """The user's."""
        return Bounds(
            math.inf if problem.max_params is None else problem.max_params,
            math.inf if problem.max_flops is None else problem.max_flops,
        )

    def share(self, part: float) -> Bounds:
        return Bounds(part * self.params, part * self.flops)

    def affordable(self, problem: Problem, budget: Budget, passes: float) -> Bounds:
        """So that the whole wall budget, on all slots, could train the network on the data `passes` times."""
        flops = budget.affordable_flops(passes, problem.train_rows)
        return self if flops is None else Bounds(self.params, min(self.flops, flops))

    def keep(self, price: Cost) -> bool:
        return price.params <= self.params and price.flops <= self.flops
