"""Sentences for people, as long as a message of the contract takes them."""

from __future__ import annotations

from typing import Final

__all__ = ["LONGEST", "sentence"]

# Bytes of a string.
LONGEST: Final = 256


def sentence(text: str, most: int = LONGEST) -> str:
    """Its first `most` bytes in UTF-8, without a part of a character."""
    return text.encode()[:most].decode(errors="ignore")
