"""How an evolution stands, from its results and the budget."""

from __future__ import annotations

from collections.abc import Sequence

from neunets.synthesizer import Assessment, Budget, Verdict
from neunets_ncevolve.population import Individual

__all__ = ["assessed", "progress_of"]

# Results of which the gain is told, and after how many without one a search stagnates.
RECENT, STALLED_AFTER = 5, 10


def assessed(trained: Sequence[Individual], patience: int, over: str, progress: float | None) -> Assessment:
    """`trained`: in the order of the results. `over`: why nothing more could be bred, or ""."""
    if not trained:
        return Assessment(Verdict.CONTINUE, progress, reason="no network is trained yet")
    best = max(trained, key=lambda each: each.fitness)
    since = len(trained) - 1 - trained.index(best)
    told = f"best of {_counted(len(trained))} {best.fitness:.3f}, {best.origin}"
    if len(trained) > RECENT:
        gain = best.fitness - max(each.fitness for each in trained[:-RECENT])
        told = f"{told}; +{gain:.3f} in the last {RECENT}"
    if over:
        return Assessment(Verdict.CONVERGED, progress, reason=f"{told}; {over}")
    if patience and since >= patience:
        return Assessment(Verdict.CONVERGED, progress, reason=f"{told}; none of the last {since} was better")
    verdict = Verdict.STALLED if since >= STALLED_AFTER else Verdict.CONTINUE
    return Assessment(verdict, progress, reason=told)


def progress_of(budget: Budget, device_s: float) -> float | None:
    """Part of the search that is over; None: nothing bounds it. `device_s`: of all trials so far."""
    parts = list[float]()
    if budget.trials is not None and budget.trials_left is not None:
        parts.append(1.0 - budget.trials_left / max(budget.trials, 1))
    if budget.wall_s_left is not None:
        used_s = device_s / budget.slots
        parts.append(used_s / (used_s + budget.wall_s_left) if budget.wall_s_left > 0.0 else 1.0)
    return max(parts, default=None)


def _counted(networks: int) -> str:
    return "1 network" if networks == 1 else f"{networks} networks"
