"""The kinds of morphisms, made from their classes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Final

from neunets.morphisms import MORPHISMS, RULES, Morphism
from neunets.ops import Attribute

__all__ = ["page", "values"]

# Of any morphism: what no class lists.
GENERAL: Final = ("UNKNOWN_MORPHISM", "BAD_ARGUMENT", "NO_NODE", "BAD_WEIGHTS", "BAD_BATCH")
HEAD: Final = """\
# Morphisms

Made from the classes in `plugins/sdk/neunets/morphisms/`, which say more: how each works, what it preserves, from where
it is.

A `Morph` of [the contract](contract.md) names a kind, the node where it happens, and arguments; one that has a default
may be left out. It makes a new graph of a graph, and, of the weights of the old network, those with which the new one
computes the same, unless `noise` is above 0. Nothing is drawn but from the argument `seed`.

Where a precondition fails, a candidate is rejected with BAD_MORPH, and the summary ends in the code of the rule.
"""


def page() -> str:
    rules = [f"| `{code}` | {RULES[code]} |" for code in GENERAL]
    lines = ["", "| of any kind | what is refused |", "| --- | --- |", *rules]
    for made in MORPHISMS.values():
        lines += _kind(made)
    return HEAD + "\n".join(lines) + "\n"


def values(rule: Attribute) -> str:
    """One row for an attribute or an argument, with its default; one without a default has to be given."""
    kind = "/".join(rule.choices) or rule.kind.__name__
    span = "" if rule.choices or rule.kind is bool else f", {_number(rule.low)}…{_number(rule.high)}"
    return f"{kind}{span}; {'required' if rule.default is None else f'default {rule.default}'}"


def _kind(made: type[Morphism]) -> Iterator[str]:
    paragraphs = inspect.cleandoc(made.__doc__ or "").split("\n\n")
    yield from ["", f"## {made.kind}", "", _joined(paragraphs[0])]
    yield from ["", "| argument | values |", "| --- | --- |"]
    yield from (f"| `{name}` | {values(rule)} |" for name, rule in made.arguments.items())
    codes = [code for code in re.findall(r"[A-Z_]{2,}", paragraphs[-1]) if code not in GENERAL]
    yield from ["", "| rule | what is refused |", "| --- | --- |"]
    yield from (f"| `{code}` | {RULES[code]} |" for code in codes)


def _number(value: float) -> str:
    """Large powers of two as such."""
    whole, bits = int(value), int(value).bit_length()
    if bits > 16 and whole in (2**bits - 1, 2 ** (bits - 1)):
        return f"2^{bits} - 1" if whole == 2**bits - 1 else f"2^{bits - 1}"
    return f"{value:g}"


def _joined(text: str) -> str:
    return " ".join(text.split())
