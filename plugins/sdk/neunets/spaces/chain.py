"""Chains of convolution blocks for images and sequences, scaled to bounds on parameters and operations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from neunets.cost import Cost, cost
from neunets.errors import UnsupportedProblem
from neunets.graph import AttributeValue, Graph, Input, Node

__all__ = ["ChainSpace"]

WIDTHS: Final = (16, 24, 32, 48, 64)
NARROWEST: Final = 2
GROWTHS: Final = (1.5, 2.0)
SHRINK: Final = 0.8
# Below this extent a convolution sees little but its padding, so nothing is pooled to less.
SMALLEST_EXTENT: Final = 3
MOST_STAGES: Final = 4
DROPOUTS: Final = (0.0, 0.1, 0.25)


@dataclass(frozen=True, slots=True)
class _Design:
    """One point of the space. Each stage is `blocks` times convolution, batch norm, activation, with one pool.

    `pools_early`: it stands behind the first convolution, so that all else works on a quarter of the values.
    """

    width: float
    growth: float
    blocks: tuple[int, ...]  # of each stage
    kernel: int
    is_separable: bool
    activation: str
    pool: str
    pools_early: bool
    head: str
    dropout: float

    def channels(self, stage: int) -> int:
        """A multiple of 8 where it is large enough for one: vector units like it."""
        wanted = self.width * self.growth**stage
        return max(NARROWEST, round(wanted)) if wanted < 12 else 8 * round(wanted / 8)


@dataclass(frozen=True, slots=True)
class ChainSpace:
    """All networks keep to `max_params` parameters; to `max_flops` operations where the structure allows it."""

    input: Input
    classes: int
    max_params: int | None = None
    max_flops: int | None = None

    def __post_init__(self) -> None:
        """Raises: UnsupportedProblem, which names the smallest bound that could be kept."""
        smallest = cost(self._graph(self._smallest())).params
        if self.max_params is not None and smallest > self.max_params:
            raise UnsupportedProblem(
                f"the smallest network for this input and {self.classes} classes has {smallest:,} parameters, "
                f"more than {self.max_params:,}: raise max_params to at least {smallest:,}"
            )

    def sample(self, rng: np.random.Generator) -> Graph:
        """Draw a structure and a width, then narrow it until it fits."""
        most = min(self._pools() + 1, MOST_STAGES)
        stages = int(rng.integers(min(2, most), most + 1))
        design = _Design(
            width=float(rng.choice(WIDTHS)),
            growth=float(rng.choice(GROWTHS)),
            blocks=tuple(int(count) for count in rng.integers(1, 3, stages)),
            kernel=int(rng.choice((3, 3, 5))),
            is_separable=bool(rng.random() < 0.2),
            activation=str(rng.choice(("relu", "silu", "gelu"))),
            pool=str(rng.choice(("max_pool", "max_pool", "avg_pool"))),
            pools_early=bool(rng.random() < 0.75),
            head=str(rng.choice(("global_pool", "flatten"))),
            dropout=float(rng.choice(DROPOUTS)),
        )
        return self._fit(design)

    def standard(self) -> Graph:
        """What an experienced designer would try first: the yardstick of everything that is drawn."""
        stages = min(max(self._pools(), 2), self._pools() + 1, 3)
        blocks = (1, *(2,) * (stages - 1))
        return self._fit(_Design(64, 2.0, blocks, 3, False, "relu", "max_pool", True, "global_pool", 0.0))

    def _fit(self, design: _Design) -> Graph:
        while True:
            graph = self._graph(design)
            price = cost(graph)
            is_narrowest = all(design.channels(stage) <= NARROWEST for stage in range(len(design.blocks)))
            if self._fits(price) or is_narrowest:
                break
            design = replace(design, width=design.width * SHRINK)
        if self.max_params is not None and price.params > self.max_params:
            return self._graph(self._smallest())
        return graph

    def _fits(self, price: Cost) -> bool:
        fits_params = self.max_params is None or price.params <= self.max_params
        return fits_params and (self.max_flops is None or price.flops <= self.max_flops)

    def _pools(self) -> int:
        """How often the extents can be halved."""
        extent, pools = min(self.input.shape[:-1]), 0
        while extent // 2 >= SMALLEST_EXTENT:
            extent, pools = extent // 2, pools + 1
        return pools

    def _smallest(self) -> _Design:
        return _Design(NARROWEST, 1.0, (1,), 3, False, "relu", "max_pool", True, "global_pool", 0.0)

    def _graph(self, design: _Design) -> Graph:
        nodes: list[Node] = []

        def add(name: str, op: str, **attributes: AttributeValue) -> None:
            source = nodes[-1].name if nodes else self.input.name
            nodes.append(Node(name, op, (source,), attributes))

        pools = self._pools()
        for stage, blocks in enumerate(design.blocks):
            for block in range(blocks):
                scope = f"stage{stage + 1}/block{block + 1}"
                # The first layer mixes the input's few channels: nothing is gained by separating it.
                op = "separable_conv" if design.is_separable and nodes else "conv"
                add(f"{scope}/conv", op, channels=design.channels(stage), kernel=design.kernel)
                if block == 0 and stage < pools and design.pools_early:
                    add(f"stage{stage + 1}/pool", design.pool, kernel=2, stride=2)
                add(f"{scope}/norm", "batch_norm")
                add(f"{scope}/activation", "activation", function=design.activation)
            if stage < min(pools, len(design.blocks) - 1) and not design.pools_early:
                add(f"stage{stage + 1}/pool", design.pool, kernel=2, stride=2)
        if design.head == "global_pool":
            add("head/pool", "global_pool", function="avg")
        else:
            add("head/flatten", "flatten")
        if design.dropout:
            add("head/dropout", "dropout", rate=design.dropout)
        add("head/logits", "linear", units=self.classes)
        return Graph(self.input, tuple(nodes), "head/logits")
