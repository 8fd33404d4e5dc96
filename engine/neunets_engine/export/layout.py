"""Where boxes of a directed graph stand: in layers from top to bottom, long edges in lanes beside the boxes.

The steps of Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures", 1981:
layers by the longest path, order within a layer by barycentres, then places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean
from typing import Final

from neunets_engine.export.svg import Point

__all__ = ["Layout", "layers", "place"]

GAP: Final = 22.0  # between neighbours of a layer
LAYER_GAP: Final = 30.0
LANE: Final = 4.0
ORDER_SWEEPS: Final = 8
PLACE_SWEEPS: Final = 12
STRAIGHT: Final = 8.0  # a lane follows a lane so much more than a box follows a box
LOOSE: Final = 0.2  # and a box a lane so much less


@dataclass(frozen=True, slots=True)
class Layout:
    """Pixels. A route goes from the middle of a box's lower side to the upper side of another one."""

    corners: tuple[Point, ...]  # upper left, of each box
    routes: tuple[tuple[Point, ...], ...]  # of each edge
    size: Point


@dataclass(slots=True)
class _Item:
    """A box, or the lane of a source's long edges through one layer."""

    layer: int
    size: Point
    x: float = 0.0  # of the middle
    above: list[_Item] = field(default_factory=list)
    below: list[_Item] = field(default_factory=list)

    @property
    def is_lane(self) -> bool:
        return self.size[1] == 0.0

    def wish(self) -> float:
        """Where it would stand without neighbours in its layer."""
        near = [*self.above, *self.below]
        pulls = [STRAIGHT * self.is_lane if other.is_lane else 1.0 for other in near]
        pulls = [pull or LOOSE for pull in pulls]
        return fmean((other.x for other in near), pulls) if near else self.x


def layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Of each of `count` boxes: the number of edges of the longest path to it. Edges go to higher numbers."""
    found = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        found[target] = max(found[target], found[source] + 1)
    return found


def place(sizes: Sequence[Point], edges: Sequence[tuple[int, int]]) -> Layout:
    """`sizes`: (width, height) of each box, in topological order, so that all edges go to higher numbers."""
    boxes = [_Item(layer, size) for layer, size in zip(layers(len(sizes), edges), sizes, strict=True)]
    paths = _paths(boxes, edges)
    rows: list[list[_Item]] = [[] for _ in range(max(box.layer for box in boxes) + 1)]
    lanes = {id(item): item for path in paths for item in path[1:-1]}
    for item in (*boxes, *lanes.values()):
        rows[item.layer].append(item)
    for sweep in range(ORDER_SWEEPS):
        _order(rows, downwards=sweep % 2 == 0)
    for sweep in range(PLACE_SWEEPS):
        _shift(rows, downwards=sweep % 2 == 0)
    left = min(item.x - item.size[0] / 2 for row in rows for item in row)
    for item in (item for row in rows for item in row):
        item.x -= left
    tops, bottoms = _heights(rows)
    corners = tuple((box.x - box.size[0] / 2, tops[box.layer]) for box in boxes)
    width = max(item.x + item.size[0] / 2 for row in rows for item in row)
    return Layout(corners, tuple(_route(path, tops, bottoms) for path in paths), (width, bottoms[-1]))


def _paths(boxes: Sequence[_Item], edges: Sequence[tuple[int, int]]) -> list[list[_Item]]:
    """Of each edge: its source, the lanes, its target; all edges of a source share its lanes."""
    lanes: list[list[_Item]] = [[box] for box in boxes]
    paths = []
    for source, target in edges:
        lane, end = lanes[source], boxes[target]
        while lane[-1].layer < end.layer - 1:
            lane.append(_Item(lane[-1].layer + 1, (LANE, 0.0), above=[lane[-1]]))
            lane[-2].below.append(lane[-1])
        path = lane[: end.layer - boxes[source].layer]
        path[-1].below.append(end)
        end.above.append(path[-1])
        paths.append([*path, end])
    return paths


def _order(rows: Sequence[list[_Item]], downwards: bool) -> None:
    """Sort each layer by where its neighbours stand; `x` is a place's number meanwhile."""
    for row in rows if downwards else reversed(rows):
        near = {id(item): item.above if downwards else item.below for item in row}
        row.sort(key=lambda item: fmean(other.x for other in near[id(item)]) if near[id(item)] else item.x)
        for number, item in enumerate(row):
            item.x = number - (len(row) - 1) / 2


def _shift(rows: Sequence[list[_Item]], downwards: bool) -> None:
    """Move each layer's items towards their neighbours, as near as their order and widths allow."""
    for row in rows if downwards else reversed(rows):
        offsets = [0.0]
        for left, right in pairwise(row):
            offsets.append(offsets[-1] + (left.size[0] + right.size[0]) / 2 + GAP)
        wishes = [item.wish() - offset for item, offset in zip(row, offsets, strict=True)]
        for item, x, offset in zip(row, _rising(wishes), offsets, strict=True):
            item.x = x + offset


def _rising(targets: Sequence[float]) -> Iterator[float]:
    """The non-decreasing numbers nearest to `targets` in squares: pools adjacent violators."""
    pools: list[tuple[float, int]] = []  # mean, members
    for target in targets:
        pools.append((target, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (mean, count), (other, more) = pools[-2:]
            pools[-2:] = [((mean * count + other * more) / (count + more), count + more)]
    for mean, count in pools:
        yield from [mean] * count


def _heights(rows: Sequence[Sequence[_Item]]) -> tuple[list[float], list[float]]:
    """Top and bottom of each layer."""
    tops, bottoms, y = [], [], 0.0
    for row in rows:
        tops.append(y)
        bottoms.append(y + max(item.size[1] for item in row))
        y = bottoms[-1] + LAYER_GAP
    return tops, bottoms


def _route(path: Sequence[_Item], tops: Sequence[float], bottoms: Sequence[float]) -> tuple[Point, ...]:
    """Upright through each layer, so that no box of it is crossed."""
    source, *lanes, target = path
    points = [(source.x, tops[source.layer] + source.size[1]), (source.x, bottoms[source.layer])]
    for lane in lanes:
        points += [(lane.x, tops[lane.layer]), (lane.x, bottoms[lane.layer])]
    ports = sorted(target.above, key=lambda item: item.x)
    spread = min(12.0, target.size[0] / (len(ports) + 1))
    port = next(number for number, item in enumerate(ports) if item is path[-2]) - (len(ports) - 1) / 2
    return (*points, (target.x + port * spread, tops[target.layer]))
