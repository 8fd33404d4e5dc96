"""The training curve as a picture: loss, validation accuracy and learning rate by epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from neunets_engine.export.svg import INK, PALE, Point, Sheet

__all__ = ["Curve", "draw_curves"]

MOST_POINTS: Final = 400  # of a line: more than its pixels are of no use
WIDTH, PANEL, GAP, TOP, BOTTOM, LEFT, RIGHT = 760.0, 170.0, 46.0, 58.0, 46.0, 66.0, 24.0
TINY: Final = 1e-12  # ranges below it have no marks
LEGEND_STEP: Final = 150.0
GRID, FRAME = "#e4e7eb", "#9aa5b1"
COLOURS: Final = ("#0b69a3", "#d9480f")
DASHES: Final = ("", "5 3", "1.5 2.5")


@dataclass(frozen=True, slots=True)
class Curve:
    """What one training has reported, in its order; NaN where a report lacks the figure. All arrays (reports,)."""

    title: str
    epoch: NDArray[np.float64]
    train_loss: NDArray[np.float64]  # nats
    valid_loss: NDArray[np.float64]
    valid_accuracy: NDArray[np.float64]  # fraction
    learning_rate: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Line:
    name: str  # what its colour stands for
    points: NDArray[np.float64]  # (points, 2) epoch and value, all finite
    colour: str
    dash: str


@dataclass(frozen=True, slots=True)
class _Axis:
    """From values to pixels, with round marks."""

    low: float
    high: float
    begin: float
    end: float

    def pixel(self, value: Any) -> Any:
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)

    def marks(self, most: int) -> list[float]:
        """Multiples of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1.0, 2.0, 5.0, 10.0) if power * factor >= rough * (1.0 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def draw_curves(curves: Sequence[Curve]) -> bytes | None:
    """SVG of up to three trainings, the lines of the first whole, of the others dashed; None: nothing was reported."""
    curves = [curve for curve in curves if len(curve.epoch)]
    panels = {
        "loss": _lines(curves, {"training": "train_loss", "validation": "valid_loss"}),
        "validation accuracy": _lines(curves, {"": "valid_accuracy"}),
        "learning rate": _lines(curves, {"": "learning_rate"}),
    }
    lines = [line for panel in panels.values() for line in panel]
    if not lines:
        return None
    last = max(float(line.points[:, 0].max()) for line in lines)
    across = _Axis(0.0, last if last > TINY else 1.0, LEFT, WIDTH - RIGHT)
    height = TOP + len(panels) * (PANEL + GAP) - GAP + BOTTOM
    sheet = Sheet(WIDTH, height, "Training curve: " + ", ".join(panels))
    _draw_legend(sheet, [(curve.title, INK, dash) for curve, dash in zip(curves, DASHES, strict=False)], 28.0)
    for number, (title, panel) in enumerate(panels.items()):
        top = TOP + number * (PANEL + GAP)
        _draw_panel(sheet, title, panel, across, top)
    sheet.text(((LEFT + WIDTH - RIGHT) / 2, height - 12.0), "epoch", text_anchor="middle")
    return sheet.to_bytes()


def _lines(curves: Sequence[Curve], fields: dict[str, str]) -> list[_Line]:
    """`fields`: of the curve, by what tells them apart."""
    found = []
    for curve, dash in zip(curves, DASHES, strict=False):
        for (name, field), colour in zip(fields.items(), COLOURS, strict=False):
            points = np.stack([curve.epoch, getattr(curve, field)], axis=1)
            points = _thin(points[np.isfinite(points).all(axis=1)])
            if len(points):
                found.append(_Line(name, points, colour, dash))
    return found


def _thin(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evenly spaced ones, with both ends."""
    if len(points) <= MOST_POINTS:
        return points
    kept = np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int)
    return np.take(points, kept, axis=0)


def _draw_panel(sheet: Sheet, title: str, lines: Sequence[_Line], across: _Axis, top: float) -> None:
    bottom = top + PANEL
    sheet.text((LEFT, top - 8.0), title, font_weight="bold", font_size="12")
    up = _upwards(lines, top, bottom)
    for mark in up.marks(4):
        y = up.pixel(mark)
        sheet.line([(LEFT, y), (WIDTH - RIGHT, y)], GRID)
        sheet.text((LEFT - 8.0, y + 4.0), _words(mark), text_anchor="end", fill=PALE)
    for mark in across.marks(8):
        x = across.pixel(mark)
        sheet.line([(x, top), (x, bottom)], GRID)
        sheet.text((x, bottom + 15.0), _words(mark), text_anchor="middle", fill=PALE)
    sheet.line([(LEFT, top), (LEFT, bottom), (WIDTH - RIGHT, bottom)], FRAME)
    for line in lines:
        _draw_line(sheet, line, across, up)
    _draw_legend(
        sheet, [(name, colour, "") for name, colour in {line.name: line.colour for line in lines}.items()], top
    )


def _draw_legend(sheet: Sheet, entries: Sequence[tuple[str, str, str]], bottom: float) -> None:
    """Of (name, colour, dash), from the right; a name may be empty, and stands for itself then."""
    named = [entry for entry in entries if entry[0]]
    for number, (name, colour, dash) in enumerate(named):
        x, y = WIDTH - RIGHT - (len(named) - number) * LEGEND_STEP, bottom - 12.0
        sheet.line([(x, y), (x + 26.0, y)], colour, 2.0, dash)
        sheet.text((x + 32.0, y + 4.0), name)


def _draw_line(sheet: Sheet, line: _Line, across: _Axis, up: _Axis) -> None:
    places = np.stack([across.pixel(line.points[:, 0]), up.pixel(line.points[:, 1])], axis=1)
    points: list[Point] = [(float(x), float(y)) for x, y in places]
    sheet.line(points, line.colour, 1.8, line.dash)
    if len(points) == 1:
        (x, y) = points[0]
        sheet.box((x - 2.5, y - 2.5), (5.0, 5.0), line.colour, radius=2.5)


def _upwards(lines: Sequence[_Line], top: float, bottom: float) -> _Axis:
    """A little wider than what is drawn; all figures are 0 or more."""
    values = np.concatenate([line.points[:, 1] for line in lines]) if lines else np.zeros(1)
    low, high = float(values.min()), float(values.max())
    # Where all are equal, there has to be a range nevertheless.
    margin = max(0.06 * (high - low), 0.005 * max(abs(low), abs(high)))
    margin = margin if margin > TINY else 1.0
    return _Axis(max(low - margin, 0.0) if low >= 0.0 else low - margin, high + margin, bottom, top)


def _words(mark: float) -> str:
    return f"{mark:.6g}"
