"""How successive halving divides epochs: rungs, and brackets of them by two conventions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

__all__ = ["Bracket", "Convention", "brackets", "levels", "work"]

# Of a level, what a division may lose in floating point.
ROUNDING = 1e-9


class Convention(Enum):
    """How many networks a bracket begins with: as in the paper, or as in HpBandSter and DEHB."""

    JMLR = "jmlr"
    HPBANDSTER = "hpbandster"


@dataclass(frozen=True, slots=True)
class Bracket:
    """One successive halving: `sizes[i]` networks are trained up to rung `lowest + i`; rungs count from 0."""

    lowest: int
    sizes: tuple[int, ...]


def levels(least: float, most: float, eta: int) -> tuple[float, ...]:
    """Epochs of the rungs, upwards: `most` divided by `eta` again and again, as long as `least` is kept.

    Counted one by one, since logarithms are off by one: log(243) / log(3) is 4.999….
    """
    found = [most]
    while found[-1] / eta >= least * (1.0 - ROUNDING):
        found.append(found[-1] / eta)
    return tuple(reversed(found))


def brackets(rungs: int, eta: int, convention: Convention) -> tuple[Bracket, ...]:
    """One round of Hyperband (Li et al., arXiv:1603.06560), from a bracket of all rungs to one of one.

    Of s + 1 rungs it has ceil(rungs * eta^s / (s + 1)) networks, and each rung 1 / eta of the one below; HpBandSter
    rounds rungs / (s + 1) down in place of that.
    """
    found = list[Bracket]()
    for above in reversed(range(rungs)):
        if convention is Convention.JMLR:
            begun = -(-rungs * eta**above // (above + 1))
        else:
            begun = rungs // (above + 1) * eta**above
        sizes = tuple(max(begun // eta**rung, 1) for rung in range(above + 1))
        found.append(Bracket(rungs - 1 - above, sizes))
    return tuple(found)


def work(bracket: Bracket, epochs: Sequence[float]) -> float:
    """Epochs that all its trainings take, where each goes on from the rung below. `epochs`: of all rungs."""
    reached = epochs[bracket.lowest :]
    before = (0.0, *reached)
    return sum(size * (after - since) for size, after, since in zip(bracket.sizes, reached, before, strict=False))
