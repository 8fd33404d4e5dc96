"""Counter-based randomness: a draw depends on what is drawn, not on what was drawn before it."""

from __future__ import annotations

import numpy as np

__all__ = ["generator"]


def generator(seed: int, sequence: int, index: int = 0) -> np.random.Generator:
    """A generator of its own for each (seed, sequence, index), all within 0..2^64 - 1.

    A replayed plugin repeats its candidates when candidate number `sequence` draws from `generator(seed, sequence)`
    alone; `index` tells apart several draws for one candidate. Philox: Salmon et al., "Parallel random numbers: as easy
    as 1, 2, 3", SC 2011.
    """
    key = np.array([seed, sequence], np.uint64)
    counter = np.array([0, 0, index, 0], np.uint64)  # of a list, numpy makes floats above 2^63
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
