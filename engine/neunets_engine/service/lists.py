"""Pages, filters and orders of List requests."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from neunets.canonical import framed
from neunets.errors import InvalidRequest
from neunets.sentences import LONGEST

__all__ = ["HEARTBEAT_S", "Page", "one_of", "parse_filter"]

# A stream with no news says so.
HEARTBEAT_S: Final = 15.0
LARGEST_PAGE: Final = 1000
USUAL_PAGE: Final = 50
TERM: Final = re.compile(r"""(\w+)\s*=\s*("[^"]*"|[^\s"=]+)""")
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page:
    """`count` items behind the one named `last` (empty: from the first)."""

    count: int
    last: str
    query: str  # digest of filter and order: a token goes on with one list alone

    @staticmethod
    def of(size: int, token: str, *query: str) -> Page:
        """Raises: InvalidRequest."""
        if size > LARGEST_PAGE:
            raise InvalidRequest("page_size", f"{size}: at most {LARGEST_PAGE}")
        digest = hashlib.sha256(framed(map(str.encode, query))).hexdigest()[:8]
        try:
            told, _, last = base64.urlsafe_b64decode(token.encode()).decode().partition("/")
        except ValueError:
            raise InvalidRequest("page_token", "it is not one that List has returned") from None
        if token and (told != digest or not 0 < len(last.encode()) <= LONGEST):
            raise InvalidRequest("page_token", "it was returned for another filter or order: begin without it")
        return Page(size or USUAL_PAGE, last, digest)

    def next(self, last: str) -> str:
        """The token of the page behind item `last`; opaque to clients."""
        return base64.urlsafe_b64encode(f"{self.query}/{last}".encode()).decode()


def parse_filter(text: str, fields: Mapping[str, Callable[[Item], str]]) -> Callable[[Item], bool]:
    """Of FIELD = VALUE terms joined by AND, both sides without regard to case; empty: everything matches.

    Raises: InvalidRequest.
    """
    wanted: list[tuple[Callable[[Item], str], str]] = []
    for part in re.split(r"\s+AND\s+", text.strip()) if text.strip() else []:
        term = TERM.fullmatch(part.strip())
        if term is None:
            raise InvalidRequest("filter", f"{part!r} is not FIELD = VALUE, joined by AND")
        if term[1] not in fields:
            raise InvalidRequest("filter", f"{term[1]!r} is none of {', '.join(fields)}")
        wanted.append((fields[term[1]], term[2].strip('"').lower()))
    return lambda item: all(value(item).lower() == asked for value, asked in wanted)


def one_of(field: str, text: str, choices: Sequence[str]) -> str:
    """The choice that `text` names, the first where it is empty. Raises: InvalidRequest."""
    found = " ".join(text.split()) or choices[0]
    if found not in choices:
        raise InvalidRequest(field, f"{text!r} is none of {', '.join(choices)}")
    return found
