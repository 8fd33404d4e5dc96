"""From a graph of the IR and its weights to a torch module, and back to the weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neunets.errors import InvalidGraph
from neunets.graph import Graph
from neunets.ops import attributes_of
from neunets.shapes import infer_shapes
from neunets_trainer.layers import LAYERS, Site

__all__ = ["Network", "build", "load_weights", "named_tensors", "weights_of"]

# Operators whose gradient follows from their inputs alone.
FRESH: Final = ("conv", "separable_conv", "linear", "batch_norm", "add")


class Network(nn.Module):
    """Inputs as stored, channels last, to logits (N, classes)."""

    mean: Tensor  # (H, W, C) or (L, C), as is std: torch is slow where it broadcasts over a few channels
    std: Tensor

    def __init__(self, graph: Graph, weights: Mapping[str, Tensor], generator: torch.Generator) -> None:
        super().__init__()
        self.graph = graph
        self.generator = generator
        self.memory_format = torch.contiguous_format
        extents = graph.input.shape[:-1]
        self.register_buffer("mean", torch.tensor(graph.input.mean).repeat(*extents, 1), persistent=False)
        self.register_buffer("std", torch.tensor(graph.input.std).repeat(*extents, 1), persistent=False)
        shapes, spare = infer_shapes(graph), _spare(graph)
        self.classes = shapes[graph.output][0]
        self.layers = nn.ModuleList()
        for node in graph.nodes:
            prefix = f"{node.name}."
            own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
            inputs = [shapes[name] for name in node.inputs]
            site = Site(attributes_of(node), inputs, own, generator, node.inputs[0] in spare)
            self.layers.append(LAYERS[node.op](site))
        self._last_readers = _last_readers(graph)

    def seed(self, value: int) -> None:
        """Of the next draws of dropout."""
        self.generator.manual_seed(value)

    def normalise(self, x: Tensor) -> Tensor:
        """(N, H, W, C) or (N, L, C) as stored -> float32, channels first."""
        x = torch.sub(x, self.mean).div_(self.std).movedim(-1, 1)
        return x.contiguous(memory_format=self.memory_format if x.ndim == 4 else torch.contiguous_format)

    def forward(self, x: Tensor) -> Tensor:
        values = {self.graph.input.name: self.normalise(x)}
        for node, layer, finished in zip(self.graph.nodes, self.layers, self._last_readers, strict=True):
            values[node.name] = layer(*(values[name] for name in node.inputs))
            for name in finished:
                del values[name]
        return values[self.graph.output]


def _spare(graph: Graph) -> set[str]:
    """Values that their only reader may overwrite: none is a view of another, and no gradient is computed from one."""
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    return {node.name for node in graph.nodes if node.op in FRESH and readers[node.name] == 1} - {graph.output}


def _last_readers(graph: Graph) -> tuple[tuple[str, ...], ...]:
    """For each node the values that nobody reads after it, so that evaluation holds few at a time."""
    last = {name: number for number, node in enumerate(graph.nodes) for name in node.inputs if name != graph.output}
    return tuple(tuple(name for name, number in last.items() if number == at) for at in range(len(graph.nodes)))


def build(graph: Graph, weights: Mapping[str, NDArray[np.float32]], device: str = "cpu") -> Network:
    """A network with a copy of `weights` (keys NODE.PARAM), in training mode, float32, contiguous."""
    tensors = {key: torch.from_numpy(np.array(value, np.float32)) for key, value in weights.items()}
    network = Network(graph, tensors, torch.Generator(device))
    unused = tensors.keys() - dict(named_tensors(network)).keys()
    if unused:
        raise InvalidGraph("", "BAD_WEIGHTS", f"weights that no node has: {sorted(unused)[:3]}")
    return network.to(device)


def named_tensors(network: Network) -> Iterator[tuple[str, Tensor]]:
    """Parameters and running statistics, live, by their keys NODE.PARAM."""
    for node, layer in zip(network.graph.nodes, network.layers, strict=True):
        buffers = ((name, value) for name, value in layer.named_buffers() if name in layer.state_dict())
        for name, value in chain(layer.named_parameters(), buffers):
            yield f"{node.name}.{name}", value


def weights_of(network: Network) -> dict[str, NDArray[np.float32]]:
    """A copy on the host, in the order of the nodes."""
    return {
        key: value.detach().to("cpu", torch.float32, copy=True).contiguous().numpy()
        for key, value in named_tensors(network)
    }


@torch.no_grad()
def load_weights(network: Network, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Copy `weights` into the network. Raises: InvalidGraph unless keys and shapes are exactly its own."""
    own = dict(named_tensors(network))
    if own.keys() != weights.keys() or any(value.shape != weights[key].shape for key, value in own.items()):
        odd = sorted(own.keys() ^ weights.keys()) or sorted(k for k, v in own.items() if v.shape != weights[k].shape)
        raise InvalidGraph("", "BAD_WEIGHTS", f"weights of another network, for example at {odd[0]}")
    for key, value in own.items():
        value.copy_(torch.from_numpy(np.array(weights[key], np.float32)))
