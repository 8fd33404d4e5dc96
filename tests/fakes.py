"""Small real parts for tests: a data set, synthesizers of known behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event as Signal

import numpy as np

from neunets.graph import DataType, Graph, Input, Node
from neunets.synthesizer import (
    Assessment,
    Budget,
    Candidate,
    Description,
    Event,
    Exhausted,
    Measured,
    Problem,
    Proposals,
    Proposed,
    Recipe,
    Wait,
)

__all__ = ["IMAGE", "Scripted", "ScriptedRun", "network", "small_images"]

IMAGE = Input("image", (8, 8, 1), DataType.UINT8, (0.0,), (255.0,))


def small_images(path: Path, rows: int = 160, classes: int = 4, seed: int = 0) -> Path:
    """An `.npz` of 8 x 8 images whose class is the quarter that is bright; returns its path."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    x = rng.integers(0, 100, (rows, 8, 8), dtype=np.uint8)
    for row, label in enumerate(y):
        top, left = 4 * (label // 2), 4 * (label % 2)
        x[row, top : top + 4, left : left + 4] += 120
    np.savez(path, x_train=x, y_train=y)
    return path


def network(problem_input: Input, classes: int, units: int) -> Graph:
    """Flatten, a hidden layer of so many units, logits."""
    return Graph(
        problem_input,
        (
            Node("flat", "flatten", (problem_input.name,)),
            Node("hidden", "linear", ("flat",), {"units": units}),
            Node("relu", "activation", ("hidden",), {"function": "relu"}),
            Node("logits", "linear", ("relu",), {"units": classes}),
        ),
        "logits",
    )


class ScriptedRun:
    """Candidate k has k + 4 hidden units. `gate` holds Propose back, which `proposing` says was called."""

    def __init__(self, problem: Problem, gate: Signal) -> None:
        self.problem = problem
        self.gate = gate
        self.proposing = Signal()
        self.events: list[Event] = []

    def propose(self, want: int, budget: Budget) -> Proposals | Wait | Exhausted:
        self.proposing.set()
        self.gate.wait()
        known = sum(len(event.candidates) for event in self.events if isinstance(event, Proposed))
        units = range(known + 4, known + 4 + want)
        graphs = [network(self.problem.input, self.problem.classes, count) for count in units]
        return Proposals(tuple(Candidate(graph, Recipe(epochs=1.0)) for graph in graphs))

    def ingest(self, events: Sequence[Event]) -> None:
        if any(isinstance(event, Measured) and event.trial == "poison" for event in events):
            raise KeyError("poison")
        self.events += events

    def assess(self, budget: Budget, running: Sequence[str]) -> Assessment:
        return Assessment(progress=2.0, reason=f"{len(self.events)} events")


class Scripted:
    """Opens `ScriptedRun`s and keeps them; `make` may put something else in their place."""

    def __init__(self, make: Callable[[Problem, Signal], ScriptedRun] = ScriptedRun) -> None:
        self.gate = Signal()
        self.gate.set()
        self.opened: list[ScriptedRun] = []
        self._make = make

    def describe(self) -> Description:
        return Description("scripted", "1.0.0", "Does what a test wants.")

    def open(self, problem: Problem, settings: Mapping[str, object], seed: int) -> ScriptedRun:
        self.opened.append(self._make(problem, self.gate))
        return self.opened[-1]
