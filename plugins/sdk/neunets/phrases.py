"""Morphisms in words for people: one phrase for a change that is made alike in several cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from neunets.errors import InvalidGraph
from neunets.lineage import lineage_from_proto
from neunets.morphisms import Branch, BranchAndInsert, Deepen, InsertSkip, Widen, WidenKernel
from neunets.synthesizer.v1 import synthesizer_pb2

__all__ = ["phrases"]

# Scopes that are named before the others are counted.
NAMED: Final = 3


def phrases(lineage: Iterable[synthesizer_pb2.Morph], axes: int) -> tuple[str, ...]:
    """`axes`: of a kernel, 2 for images. A morphism that this version does not know is told by its kind."""
    scopes: dict[tuple[str, str, str], list[str]] = {}
    for message in lineage:
        before, after = _words(message, axes)
        scope, _, name = message.node.rpartition("/")
        scopes.setdefault((before, name, after), []).append(scope)
    return tuple(" ".join((before, _place(name, of), after)).strip() for (before, name, after), of in scopes.items())


def _words(message: synthesizer_pb2.Morph, axes: int) -> tuple[str, str]:
    """What stands before the place, and what behind it."""
    try:
        (step,) = lineage_from_proto([message])
    except InvalidGraph:
        return f"{message.kind} at", ""
    match step:
        case Widen(width=width, noise=noise):
            return "widen", f"to {width}{_noise(noise)}"
        case Deepen(layer=layer, kernel=kernel, norm=norm, function=function, noise=noise):
            return f"deepen {_layer(layer, kernel, norm, function, axes)} behind", _noise(noise).strip()
        case WidenKernel(kernel=kernel):
            return "widen kernel of", f"to {_kernel(kernel, axes)}"
        case InsertSkip(layer=layer, kernel=kernel, function=function):
            return f"insert skip with {_layer(layer, kernel, True, function, axes)} behind", ""
        case Branch(at=at):
            return "branch", _at(at).strip()
        case BranchAndInsert(at=at, side=side, layer=layer, kernel=kernel, norm=norm, function=function, noise=noise):
            inserted = _layer(layer, kernel, norm, function, axes)
            return "branch", f"{_at(at)} and insert {inserted} on the {side}{_noise(noise)}".strip()
        case _:
            return f"{message.kind} at", ""


def _place(name: str, scopes: Sequence[str]) -> str:
    if len(scopes) == 1:
        return f"{scopes[0]}/{name}" if scopes[0] else name
    named = ", ".join(scope or "the top" for scope in scopes[:NAMED])
    return f"{name} of {named}" + (f" and {len(scopes) - NAMED} more" if len(scopes) > NAMED else "")


def _layer(layer: str, kernel: int, norm: bool, function: str, axes: int) -> str:
    words = layer.replace("_", " ") + ("" if layer == "linear" else f" {_kernel(kernel, axes)}")
    return " + ".join([words, *(["norm"] if norm else []), *([] if function == "none" else [function])])


def _kernel(kernel: int, axes: int) -> str:
    return "x".join([str(kernel)] * axes)


def _at(at: int) -> str:
    return f" at {at}" if at else ""


def _noise(noise: float) -> str:
    return f" with noise {noise:g}" if noise else ""
