"""A training step as one CUDA graph: small networks are bound by the launches of their kernels, not by the kernels.

Not measured by us. https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import torch

__all__ = ["StepGraph"]

LOG: Final = logging.getLogger(__name__)
# Steps before the capture: in them libraries choose their kernels, and allocate what may not be allocated later.
WARM_UP_STEPS: Final = 3


class StepGraph:
    """Captured after a few calls, replayed in all that follow. On a CPU, and where capture fails, each is a call."""

    def __init__(
        self, device: torch.device | str, step: Callable[[], None], generators: Sequence[torch.Generator]
    ) -> None:
        """`step` reads and writes tensors that stay where they are, draws from `generators` alone, and never waits.

        A generator may be seeded between calls.
        """
        self._device, self._step, self._generators = torch.device(device), step, tuple(generators)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._calls_before = WARM_UP_STEPS
        self._is_eager = self._device.type != "cuda"

    def run(self) -> None:
        """One step."""
        if self._is_eager:
            self._step()
        elif self._graph is not None:
            self._graph.replay()
        elif self._calls_before:
            self._calls_before -= 1
            self._warm_up()
        else:
            self._capture()
            self.run()

    def _warm_up(self) -> None:
        """On a stream of its own, as the capture will be: what a stream allocates is only reused on it."""
        side = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        main = torch.cuda.current_stream(self._device)
        side.wait_stream(main)
        with torch.cuda.stream(side):
            self._step()
        main.wait_stream(side)

    def _capture(self) -> None:
        """Records the step, and runs nothing."""
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        try:
            with torch.cuda.device(self._device), torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._step()
        except RuntimeError as error:
            LOG.warning("the step cannot be captured, its kernels are launched one by one: %s", error)
            self._is_eager = True
        else:
            self._graph = graph
