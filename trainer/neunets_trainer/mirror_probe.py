"""Whether mirrored images keep their class: a small network learns with and without mirrors, and both are compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from neunets.graph import Graph, Input, Node
from neunets_trainer.data import Data
from neunets_trainer.recipe import Recipe
from neunets_trainer.task import Ended, Order, Task
from neunets_trainer.training import run

__all__ = ["MirrorProbe", "probe_mirror"]

STEPS: Final = 240
BATCH: Final = 128
WIDTH: Final = 16
# Extents are halved until they are at most so large: a probe has to be cheap, not good.
LARGEST_EXTENT: Final = 16
# Accuracy that the mirrors may cost, with one standard error of the difference: a small network has to learn both sides
# in the same few steps. Measured: 0.8 and 1.3 points on Fashion-MNIST, 3.0 and 3.3 points on MNIST, where they do harm.
TOLERANCE: Final = 0.025


@dataclass(frozen=True, slots=True)
class MirrorProbe:
    """Accuracies on `rows` validation rows, as they are stored."""

    plain: float
    mirrored: float  # of the network that was trained with random mirrors
    rows: int

    @property
    def is_measured(self) -> bool:
        """False: a training failed, and its accuracy is NaN."""
        return math.isfinite(self.plain + self.mirrored)

    @property
    def keeps_class(self) -> bool:
        """No accuracy was lost beyond the tolerance, chance included."""
        mean = (self.plain + self.mirrored) / 2
        chance = math.sqrt(2.0 * mean * (1.0 - mean) / max(self.rows, 1))
        return self.plain - self.mirrored + chance <= TOLERANCE


def probe_mirror(data: Data, image: Input, classes: int, seed: int) -> MirrorProbe:
    """Train twice with the same seed, on the device of `data`."""
    graph = _network(image, classes)
    plain, mirrored = (_accuracy(data, graph, seed, mirror) for mirror in (False, True))
    return MirrorProbe(plain, mirrored, len(data.valid))


def _accuracy(data: Data, graph: Graph, seed: int, mirror: bool) -> float:
    recipe = Recipe(steps=STEPS, batch_size=BATCH, learning_rate=0.2, mirror=mirror)
    *_, last = run(Task(graph, recipe, seed, data, data.device), lambda: Order.CONTINUE)
    assert isinstance(last, Ended)
    return last.metrics.get("valid_accuracy", math.nan)  # which no comparison takes for an answer


def _network(image: Input, classes: int) -> Graph:
    """Strided convolutions until the extents are small, then global pooling."""
    nodes: list[Node] = []

    def add(name: str, op: str, **attributes: int | str) -> None:
        nodes.append(Node(name, op, (nodes[-1].name if nodes else image.name,), attributes))

    extent, width, stage = min(image.shape[:2]), WIDTH, 0
    while extent > LARGEST_EXTENT:
        add(f"pool{stage}", "avg_pool", kernel=2, stride=2)
        extent, stage = extent // 2, stage + 1
    for number in range(2):
        add(f"conv{number}", "conv", channels=width << number, kernel=3)
        add(f"norm{number}", "batch_norm")
        add(f"activation{number}", "activation", function="relu")
        if extent >= 4:
            add(f"reduce{number}", "max_pool", kernel=2, stride=2)
            extent //= 2
    add("flat", "flatten")
    add("logits", "linear", units=classes)
    return Graph(image, tuple(nodes), "logits")
