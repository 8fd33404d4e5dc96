"""A sheet to draw on: self-contained SVG on a light ground, without scripts or fonts of its own.

By hand, because a plotting library takes 0.3 to 2 s to import and 50 MB to hold, within the time of the export.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, TypeAlias
from xml.etree import ElementTree

from neunets.sentences import printable

__all__ = ["INK", "MONO", "PALE", "SANS", "Point", "Sheet", "columns", "shorten"]

Point: TypeAlias = tuple[float, float]  # pixels, from the top left corner

INK: Final = "#1f2933"
PALE: Final = "#7b8794"
GROUND: Final = "#ffffff"
SANS: Final = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
MONO: Final = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"


class Sheet:
    """`title` is for those who hear the picture. Lengths in pixels."""

    def __init__(self, width: float, height: float, title: str) -> None:
        size = {"width": _number(width), "height": _number(height), "viewBox": f"0 0 {width:.0f} {height:.0f}"}
        self._root = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", **size})
        ElementTree.SubElement(self._root, "title").text = printable(title)
        self.box((0.0, 0.0), (width, height), GROUND)

    def box(self, corner: Point, size: Point, fill: str, edge: str = "none", radius: float = 0.0) -> None:
        place = dict(zip(("x", "y", "width", "height"), map(_number, (*corner, *size)), strict=True))
        self._add("rect", {**place, "rx": _number(radius), "fill": fill, "stroke": edge})

    def line(self, points: Iterable[Point], colour: str, width: float = 1.0, dash: str = "") -> None:
        """Straight from point to point."""
        path = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        self._add("polyline", {"points": path, **_stroke(colour, width, dash)})

    def curve(self, points: Sequence[Point], colour: str, width: float = 1.0) -> None:
        """From point to point, upright at each of them."""
        parts = [f"M{_pair(points[0])}"]
        for (x, y), (to_x, to_y) in pairwise(points):
            middle = (y + to_y) / 2.0
            bend = f"C{_pair((x, middle))} {_pair((to_x, middle))} {_pair((to_x, to_y))}"
            parts.append(f"V{_number(to_y)}" if x == to_x else bend)
        self._add("path", {"d": "".join(parts), **_stroke(colour, width)})

    def arrowhead(self, tip: Point, colour: str) -> None:
        """It points down."""
        x, y = tip
        self._add("path", {"d": f"M{_pair(tip)}L{_pair((x - 3.5, y - 7))}L{_pair((x + 3.5, y - 7))}Z", "fill": colour})

    def text(self, at: Point, words: str, style: str = SANS, **attributes: str) -> None:
        """The base line begins at `at`; `style` is a font family, `attributes` are SVG's, with `_` for `-`."""
        place = {"x": _number(at[0]), "y": _number(at[1]), "font-family": style, "font-size": "11", "fill": INK}
        given = {key.replace("_", "-"): value for key, value in attributes.items()}
        # Two spaces in a name are two spaces.
        self._add("text", {**place, **given, "style": "white-space:pre"}).text = printable(words)

    def hint(self, words: str) -> None:
        """Said where the mouse rests on what was drawn last."""
        ElementTree.SubElement(self._root[-1], "title").text = printable(words)

    def to_bytes(self) -> bytes:
        return b"<?xml version='1.0' encoding='utf-8'?>\n" + ElementTree.tostring(self._root, "unicode").encode()

    def _add(self, tag: str, attributes: dict[str, str]) -> ElementTree.Element:
        return ElementTree.SubElement(self._root, tag, attributes)


def columns(text: str) -> int:
    """Width of `text` in a monospaced font: East Asian letters take two columns, marks on a letter none."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def shorten(text: str, most: int) -> str:
    """`text` in at most so many columns; its middle is left out."""
    if columns(text) <= most:
        return text
    head, tail = text, text
    while columns(head) > most // 2:
        head = head[:-1]
    while columns(tail) > most - 1 - most // 2:
        tail = tail[1:]
    return f"{head}…{tail}"


def _stroke(colour: str, width: float, dash: str = "") -> dict[str, str]:
    found = {"fill": "none", "stroke": colour, "stroke-width": _number(width), "stroke-linejoin": "round"}
    return found | ({"stroke-dasharray": dash} if dash else {})


def _pair(point: Point) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
