"""Keys that LMDB orders as people do: big-endian numbers behind the run's id."""

from __future__ import annotations

import struct

__all__ = ["numbered", "scope_end", "scoped", "sequence_of"]


def scoped(run_id: str, name: str = "") -> bytes:
    """Key of something named within a run; without a name, where the run's keys begin."""
    return f"{run_id}/{name}".encode()


def scope_end(run_id: str) -> bytes:
    """The first key behind all keys of the run ('0' follows '/')."""
    return f"{run_id}0".encode()


def numbered(run_id: str, number: int, scope: str = "") -> bytes:
    """Key of the `number`th of something within a run."""
    return scoped(run_id, f"{scope}/" if scope else "") + struct.pack(">Q", number)


def sequence_of(key: bytes) -> int:
    """The number at the end of a `numbered` key."""
    return int(struct.unpack(">Q", key[-8:])[0])
