"""Images that cannot be read: all of them are named at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from neunets.errors import InvalidRequest
from neunets.images import Fault
from neunets_engine.datasets.source import refusal

__all__ = ["Unreadable", "left_out", "unreadable"]

Unreadable = tuple[str, Fault]  # the name of an image, and why it cannot be read
MOST_NAMED: Final = 10


def unreadable(found: Sequence[Unreadable]) -> InvalidRequest:
    """A refusal of all images in `found`, at least one."""
    fixes = list(dict.fromkeys(fault.fix for _, fault in found))
    fix = f"{fixes[0] if len(fixes) == 1 else 'replace or remove them'}, or go on without with --skip-unreadable"
    if len(found) == 1:
        return refusal(found[0][0], found[0][1].text, fix)
    return refusal(f"{len(found):,} images cannot be used", _list(found), fix)


def left_out(found: Sequence[Unreadable]) -> str:
    """For the warnings."""
    count = "1 image that cannot be read is" if len(found) == 1 else f"{len(found):,} images that cannot be read are"
    return f"{count} left out: {_list(found)}"


def _list(found: Sequence[Unreadable]) -> str:
    more = f", and {len(found) - MOST_NAMED:,} more" if len(found) > MOST_NAMED else ""
    return ", ".join(f"{name} ({fault.text})" for name, fault in found[:MOST_NAMED]) + more
