"""Where the taps of a kernel look, one axis at a time."""

from __future__ import annotations

from neunets.ops import Attributes, same_padding, spatial, window

__all__ = ["padded_before", "unseen_taps"]


def padded_before(attributes: Attributes, size: int) -> int:
    """Padding before the first value of an axis of `size` values: the first window starts so much earlier."""
    return same_padding(size, *window(attributes))[0] if attributes["padding"] == "same" else 0


def unseen_taps(attributes: Attributes, size: int) -> frozenset[int]:
    """Taps that see nothing but padding, at every position of the window: their weights get no gradient."""
    kernel, stride, dilation = window(attributes)
    (positions,) = spatial(attributes, (size,))
    before = padded_before(attributes, size)

    def sees(tap: int) -> bool:
        offset = tap * dilation - before
        first = max(-(offset // stride), 0)  # position at which it looks at 0 or later
        return first <= min((size - 1 - offset) // stride, positions - 1)

    return frozenset(tap for tap in range(kernel) if not sees(tap))
