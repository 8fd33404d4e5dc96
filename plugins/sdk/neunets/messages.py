"""How large messages may be: the one place of the limits of both directions, and how a list is cut to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

__all__ = ["CANDIDATE_BYTES", "CHANNEL_LIMITS", "LINEAGE_STEPS", "MESSAGE_BYTES", "RECEIVE_BYTES", "fitting"]

# The size of a message that is made of many parts: a replay, a batch of events, a page of a list.
MESSAGE_BYTES: Final = 1 << 20
# Every server and every client takes this much, gRPC's own default: three parts of the largest size fit.
RECEIVE_BYTES: Final = 4 << 20
# A candidate with its graph: a larger one is rejected before it is kept, so that what is kept can always be sent.
CANDIDATE_BYTES: Final = 512 << 10
# The steps from a parent to a candidate; each costs about as much as a validation of the graph.
LINEAGE_STEPS: Final = 256
# The limits as options of gRPC servers and channels.
CHANNEL_LIMITS: Final = (
    ("grpc.max_receive_message_length", RECEIVE_BYTES),
    ("grpc.max_send_message_length", RECEIVE_BYTES),
)

Part = TypeVar("Part")


def fitting(
    parts: Iterable[Part], size: Callable[[Part], int], most: int | None = None, most_bytes: int = MESSAGE_BYTES
) -> list[Part]:
    """The first of `parts`, at most `most` of at most `most_bytes` together; the first one whatever its size."""
    found: list[Part] = []
    total = 0
    for part in parts:
        total += size(part)
        if len(found) == most or (found and total > most_bytes):
            break
        found.append(part)
    return found
