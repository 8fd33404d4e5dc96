"""Mean and deviation of each channel, block by block."""

from __future__ import annotations

import numpy as np

from neunets_engine.datasets.source import Array

__all__ = ["Moments"]


class Moments:
    """Of values (..., C). Bytes are added up as integers, so that their result depends on no order."""

    def __init__(self, channels: int) -> None:
        self._count = 0
        self._mean = np.zeros(channels)
        self._squares = np.zeros(channels)  # of the distances from the mean
        self._sums = [[0, 0] for _ in range(channels)]  # of bytes, and of their squares

    def add(self, block: Array) -> None:
        """A block of the same type as all others."""
        if not len(block):
            return
        values = block.reshape(-1, block.shape[-1])
        if block.dtype == np.uint8:
            rows = block.reshape(len(block), -1)
            for place, powers in enumerate((rows, np.square(rows, dtype=np.uint16))):
                # Rows first: along the few channels the sum takes 20 times as long.
                sums = np.add.reduce(powers, axis=0, dtype=np.uint64).reshape(-1, block.shape[-1]).sum(0)
                for channel, total in enumerate(sums):
                    self._sums[channel][place] += int(total)
            self._count += len(values)
            return
        # The parallel variance of Chan, Golub and LeVeque.
        exact = values.astype(np.float64)
        mean, count = exact.mean(0), self._count + len(exact)
        apart = mean - self._mean
        self._squares += ((exact - mean) ** 2).sum(0) + apart**2 * (self._count * len(exact) / count)
        self._mean = self._mean + apart * (len(exact) / count)
        self._count = count

    def result(self) -> tuple[Array, Array]:
        """Mean and standard deviation, (C,) float64 each."""
        if not any(two for _, two in self._sums):
            return self._mean, np.sqrt(self._squares / max(1, self._count))
        count = self._count
        mean = np.array([one / count for one, _ in self._sums])
        variance = np.array([(count * two - one * one) / count**2 for one, two in self._sums])
        return mean, np.sqrt(variance)
