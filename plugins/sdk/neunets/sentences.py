"""Sentences for people, as long as a message of the contract takes them."""

from __future__ import annotations

from typing import Final

__all__ = ["LONGEST", "printable", "sentence"]

# Bytes of a string.
LONGEST: Final = 256


def sentence(text: str, most: int = LONGEST) -> str:
    """Its first `most` bytes in UTF-8, without a part of a character."""
    return text.encode()[:most].decode(errors="ignore")


def printable(text: str) -> str:
    """For terminals: what would move the cursor, change colours, turn the direction or is no UTF-8 is shown escaped."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
