"""What operating systems, archives and notebooks leave in folders, which is no data."""

from __future__ import annotations

from typing import Final

__all__ = ["is_passed_over"]

NAMES: Final = frozenset(
    {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found", "__pycache__"}
)


def is_passed_over(name: str) -> bool:
    """`name`: of a file or folder, without its path."""
    return name.startswith(".") or name.casefold() in NAMES
