"""Which channels of a network have to be widened together, and by which index map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neunets.graph import Graph, Node, Shape
from neunets.ops import attributes_of
from neunets.shapes import infer_shapes

__all__ = ["Channels", "Indices", "Segment", "channels_of", "groups_of", "is_depthwise"]

Indices: TypeAlias = NDArray[np.int64]

# Operators whose outputs are new channels, each a sum over all channels, or all of a group, of the input.
MIXING: Final = frozenset({"conv", "separable_conv", "linear"})
# Operators that work on each channel for itself.
CHANNELWISE: Final = frozenset(
    {"batch_norm", "activation", "max_pool", "avg_pool", "global_pool", "dropout", "identity"}
)


@dataclass(frozen=True, slots=True)
class Segment:
    """All channels of an atom in a row, each `repeat` times: a flattened map repeats each for its positions."""

    atom: int
    repeat: int = 1


Segments: TypeAlias = tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of each value, input included, as segments. Atoms are widened alike wherever they occur.

    `sizes`: channels of an atom. `bound`: atoms that cannot be widened, with the code of the rule. `even`: atoms in
    groups of a convolution, which have to grow alike.
    """

    segments: Mapping[str, Segments]
    sizes: Mapping[int, int]
    bound: Mapping[int, str]
    even: frozenset[int]

    def index_map(self, name: str, copied: Mapping[int, Indices]) -> Indices:
        """(new channels of the value,): the old channel that each of them copies. `copied`: the same for atoms."""
        parts, start = [], 0
        for segment in self.segments[name]:
            size, repeat = self.sizes[segment.atom], segment.repeat
            rows = copied.get(segment.atom, np.arange(size))
            parts.append(start + (rows[:, None] * repeat + np.arange(repeat)).ravel())
            start += size * repeat
        return np.concatenate(parts)


def channels_of(graph: Graph) -> Channels:
    """Layers make new channels, sums tie channels together, concatenations put them in a row. Raises: InvalidGraph."""
    shapes, ties = infer_shapes(graph), _Ties()
    values: dict[str, Segments] = {graph.input.name: ties.new(shapes[graph.input.name][0])}
    ties.bind(values[graph.input.name], "WIDEN_INPUT")
    for node in graph.nodes:
        sources = [values[name] for name in node.inputs]
        values[node.name] = _outputs(node, sources, shapes, ties)
    ties.bind(values[graph.output], "WIDEN_OUTPUT")
    segments = {name: ties.resolved(value) for name, value in values.items()}
    atoms = {segment.atom for value in segments.values() for segment in value}
    return Channels(
        segments,
        {atom: ties.sizes[atom] for atom in atoms},
        {atom: rule for atom, rule in ties.bound.items() if atom in atoms},
        frozenset(ties.even & atoms),
    )


def groups_of(node: Node) -> int:
    """Of a node of any operator."""
    return int(str(attributes_of(node).get("groups", 1)))


def is_depthwise(node: Node, channels: int) -> bool:
    """Whether each output channel sees one of several input channels."""
    return 1 < groups_of(node) == channels


def _outputs(node: Node, sources: Sequence[Segments], shapes: Mapping[str, Shape], ties: _Ties) -> Segments:
    channels, shape = shapes[node.inputs[0]][0], shapes[node.name]
    if node.op in CHANNELWISE:
        return sources[0]
    if is_depthwise(node, channels):
        return _repeated(sources[0], shape[0] // channels)
    if node.op in MIXING:
        groups = groups_of(node)
        made = tuple(segment for _ in range(groups) for segment in ties.new(shape[0] // groups))
        if groups > 1:
            ties.group(sources[0], channels // groups)
            ties.group(made, shape[0] // groups)
        return made
    if node.op == "add":
        for source in sources[1:]:
            ties.tie(sources[0], source)
        return sources[0]
    if node.op == "concat":
        return tuple(segment for source in sources for segment in source)
    assert node.op == "flatten", node.op
    return _repeated(sources[0], prod(shapes[node.inputs[0]][1:]))


def _repeated(segments: Segments, times: int) -> Segments:
    return tuple(Segment(segment.atom, segment.repeat * times) for segment in segments)


class _Ties:
    """Atoms while a network is read: one may turn out to be several, or the same as another."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.bound: dict[int, str] = {}
        self.even: set[int] = set()
        self._parts: dict[int, tuple[int, ...]] = {}  # what an atom turned out to be

    def new(self, size: int) -> Segments:
        self.sizes.append(size)
        return (Segment(len(self.sizes) - 1),)

    def resolved(self, segments: Segments) -> Segments:
        """In atoms that are still themselves."""
        found, rest = [], list(reversed(segments))
        while rest:
            segment = rest.pop()
            parts = self._parts.get(segment.atom)
            if parts is None:
                found.append(segment)
            else:
                rest.extend(Segment(part, segment.repeat) for part in reversed(parts))
        return tuple(found)

    def bind(self, segments: Segments, rule: str) -> None:
        for segment in self.resolved(segments):
            self.bound.setdefault(segment.atom, rule)

    def group(self, segments: Segments, size: int) -> None:
        """Atoms end where groups of `size` channels end, and have to grow alike."""
        total = self._ends(segments)[-1]
        if not all(self._cut(segments, end) for end in range(size, total, size)):
            self.bind(segments, "WIDEN_ALIGNMENT")
        self.even.update(segment.atom for segment in self.resolved(segments))

    def tie(self, one: Segments, other: Segments) -> None:
        """The same atoms at the same places, so that both follow the same index map; else both are bound."""
        while differing := set(self._ends(one)) ^ set(self._ends(other)):
            end = min(differing)
            if not (self._cut(one, end) and self._cut(other, end)):
                break
        pairs = list(zip(self.resolved(one), self.resolved(other), strict=False))
        if differing or any(left.repeat != right.repeat for left, right in pairs):
            self.bind((*one, *other), "WIDEN_ALIGNMENT")
            return
        for left, right in pairs:
            self._unite(left, right)

    def _unite(self, one: Segment, other: Segment) -> None:
        """Two of equal size, neither of which is cut."""
        (left,), (right,) = self.resolved((one,)), self.resolved((other,))
        keep, gone = sorted((left.atom, right.atom))
        if keep == gone:
            return
        self._parts[gone] = (keep,)
        if gone in self.bound:
            self.bound.setdefault(keep, self.bound[gone])
        if gone in self.even:
            self.even.add(keep)

    def _ends(self, segments: Segments) -> list[int]:
        """Of all segments, in channels of the value."""
        return list(accumulate(self.sizes[segment.atom] * segment.repeat for segment in self.resolved(segments)))

    def _cut(self, segments: Segments, end: int) -> bool:
        """Let a segment end there. False: it would cut through the repetitions of one channel."""
        start = 0
        for segment, stop in zip(self.resolved(segments), self._ends(segments), strict=True):
            if start < end < stop:
                channels, rest = divmod(end - start, segment.repeat)
                if not rest:
                    self._split(segment.atom, channels)
                return not rest
            start = stop
        return True

    def _split(self, atom: int, first: int) -> None:
        parts = (*self.new(first), *self.new(self.sizes[atom] - first))
        self._parts[atom] = tuple(part.atom for part in parts)
        if atom in self.bound:
            self.bind(parts, self.bound[atom])
        if atom in self.even:
            self.even.update(self._parts[atom])
