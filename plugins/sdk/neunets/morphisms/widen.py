"""Give a layer more channels, which copy old ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final, final

import numpy as np
from numpy.typing import NDArray

from neunets.draws import generator
from neunets.errors import InvalidGraph
from neunets.graph import AttributeValue, Graph
from neunets.morphisms.channels import Channels, Indices, channels_of, groups_of, is_depthwise
from neunets.morphisms.edit import layer_of, with_attributes
from neunets.morphisms.layers import MIXER
from neunets.morphisms.morphism import NOISE, SEED, Array, Morphism, Weights, check_weights, disturbed, in_order
from neunets.ops import Attribute
from neunets.shapes import infer_shapes

__all__ = ["Widen", "width_step"]

WIDTH: Final[Mapping[str, str]] = MappingProxyType(
    {"conv": "channels", "separable_conv": "channels", "linear": "units"}
)
SHARES: Final = Attribute(float, 0.0, low=0.0, high=1.0)
WIDEST: Final = 1 << 20  # index maps are made before the new graph can be checked
BOUND: Final[Mapping[str, str]] = MappingProxyType(
    {
        "WIDEN_INPUT": "the network's input",
        "WIDEN_OUTPUT": "the logits",
        "WIDEN_ALIGNMENT": "what is added follows no index map of the same form",
    }
)


@final
@dataclass(frozen=True, slots=True)
class Widen(Morphism):
    """Channels of the convolution, or units of the linear layer, `node` grow to `width`.

    Net2WiderNet: Chen et al., arXiv:1511.05641; NeuNetS, eq. 2-3. A new channel j copies a random old one g(j), and all
    that mix channels divide the weights of a channel among its copies. The index map g follows the channels through
    batch norms, activations, pools, depthwise convolutions and dropout, at its offset into a concatenation, in blocks
    through a flattening. Whatever a sum adds to them follows the same map: the layers that compute it are widened
    alike, in each part of a concatenation by as many as are drawn there. New channels stand behind the old ones of
    their part. Groups of a convolution grow alike: see `width_step`.

    A depthwise convolution is widened with the layer that it reads.

    Copies get a gradient at once, but with equal shares all copies of a channel the same: training without dropout
    never tells them apart. `shares` does, and preserves exactly: that part of each division is drawn, all divisions
    being equally likely (0: equal shares), so that no copy gets less than (1 - shares) / copies. `noise` does, too: a
    deviation relative to that of a layer's mixing weights, added to the rows of all copies but the first; 0 preserves
    exactly.

    Evaluation is preserved, and training as well, batch norms included, since copies have equal statistics; but dropout
    draws for each copy.

    Rules: NO_NODE, WIDEN_OP, WIDEN_WIDTH, WIDEN_STEP, WIDEN_INPUT, WIDEN_OUTPUT, WIDEN_GROUPS, WIDEN_ALIGNMENT.
    """

    kind: ClassVar[str] = "widen"
    arguments: ClassVar[Mapping[str, Attribute]] = MappingProxyType(
        {"width": Attribute(int, high=WIDEST), "seed": SEED, "noise": NOISE, "shares": SHARES}
    )

    width: int
    seed: int = 0
    noise: float = 0.0
    shares: float = 0.0

    def apply(self, graph: Graph) -> Graph:
        maps, shapes = self._maps(graph), infer_shapes(graph)
        changes: dict[str, dict[str, AttributeValue]] = {}
        for node in graph.nodes:
            if node.op in WIDTH:
                changes[node.name] = {WIDTH[node.op]: len(maps[node.name])}
                if is_depthwise(node, shapes[node.inputs[0]][0]):
                    changes[node.name]["groups"] = len(maps[node.inputs[0]])
        return with_attributes(graph, changes)

    def weights(self, graph: Graph, parameters: Weights, batch: Array | None = None) -> dict[str, Array]:
        check_weights(graph, parameters)
        child, maps, shapes = self.apply(graph), self._maps(graph), infer_shapes(graph)
        found, numbers = dict(parameters), {node.name: number for number, node in enumerate(graph.nodes)}
        for key, value in parameters.items():
            name, _, parameter = key.rpartition(".")
            node = graph.nodes[numbers[name]]
            (source,) = node.inputs
            rows, columns = maps[name], maps[source]
            grows = len(rows) > shapes[name][0]
            if not grows and len(columns) == shapes[source][0]:
                continue
            if parameter == MIXER.get(node.op) and not is_depthwise(node, shapes[source][0]):
                shares = _shares(columns, self.shares, generator(self.seed, 2, numbers[name]))
                found[key] = _shared_out(value, rows, columns, shares, groups_of(node))
            else:
                found[key] = value[columns if parameter == "depthwise" else rows]
            if parameter == MIXER.get(node.op) and grows:
                found[key] = self._told_apart(found[key], rows, numbers[name])
        return in_order(child, found)

    def _told_apart(self, values: Array, rows: Indices, number: int) -> Array:
        """With noise on the rows of all copies but the first of each channel."""
        noisy = disturbed(values, self.noise, generator(self.seed, 1, number))
        is_first = np.zeros(len(rows), bool)
        is_first[np.unique(rows, return_index=True)[1]] = True
        return np.where(is_first.reshape(-1, *(1,) * (values.ndim - 1)), values, noisy)

    def _maps(self, graph: Graph) -> dict[str, Indices]:
        """The index map of each value. Raises: InvalidGraph where a precondition fails."""
        node, channels = layer_of(graph, self.node, WIDTH, "WIDEN_OP"), channels_of(graph)
        old, step = infer_shapes(graph)[self.node][0], _step(channels, node.name)
        if self.width <= old:
            raise InvalidGraph(self.node, "WIDEN_WIDTH", f"it is {old} wide already: {self.width} is no more")
        times, rest = divmod(self.width - old, step)
        if rest:
            raise InvalidGraph(self.node, "WIDEN_STEP", f"it grows from {old} in steps of {step}, not to {self.width}")
        copied = self._drawn(channels, times)
        maps = {name: channels.index_map(name, copied) for name in channels.segments}
        _check_groups(graph, maps)
        return maps

    def _drawn(self, channels: Channels, times: int) -> dict[int, Indices]:
        """The index maps of the atoms that grow: `times` channels more in all of them, or in each where they are even.

        Each new channel copies one that is drawn uniformly.
        """
        rng = generator(self.seed, 0)
        atoms = [segment.atom for segment in channels.segments[self.node]]
        sizes = [channels.sizes[atom] for atom in atoms]
        if not channels.even.isdisjoint(atoms):
            drawn = {atom: rng.integers(size, size=times) for atom, size in zip(atoms, sizes, strict=True)}
        else:
            ends = np.cumsum(sizes)
            sources = rng.integers(ends[-1], size=times)
            owners = np.searchsorted(ends, sources, side="right")
            drawn = {atom: sources[owners == i] - (ends[i] - sizes[i]) for i, atom in enumerate(atoms)}
        return {atom: np.concatenate([np.arange(channels.sizes[atom]), extra]) for atom, extra in drawn.items()}


def width_step(graph: Graph, node: str) -> int:
    """Widths that `Widen` can give to `node` are its present one plus multiples of this.

    Raises: InvalidGraph (NO_NODE, WIDEN_OP, WIDEN_INPUT, WIDEN_OUTPUT, WIDEN_ALIGNMENT).
    """
    return _step(channels_of(graph), layer_of(graph, node, WIDTH, "WIDEN_OP").name)


def _step(channels: Channels, node: str) -> int:
    segments = channels.segments[node]
    for segment in segments:
        if segment.atom in channels.bound:
            rule = channels.bound[segment.atom]
            raise InvalidGraph(node, rule, f"its channels are tied to others that cannot be widened: {BOUND[rule]}")
    atoms, repeats = {segment.atom for segment in segments}, {segment.repeat for segment in segments}
    if len(atoms) != len(segments) or len(repeats) != 1:
        raise InvalidGraph(node, "WIDEN_ALIGNMENT", "a sum ties its channels to one another")
    return repeats.pop() * (1 if channels.even.isdisjoint(atoms) else len(atoms))


def _check_groups(graph: Graph, maps: Mapping[str, Indices]) -> None:
    shapes = infer_shapes(graph)
    for node in graph.nodes:
        groups, channels = groups_of(node), shapes[node.inputs[0]][0]
        if groups == 1 or is_depthwise(node, channels):
            continue
        for name in (node.name, node.inputs[0]):
            members = np.bincount(maps[name] // (shapes[name][0] // groups))
            if len(set(members.tolist())) > 1:
                text = f"its groups would have {', '.join(map(str, members))} channels of {name}"
                raise InvalidGraph(node.name, "WIDEN_GROUPS", text)


def _shares(columns: Indices, spread: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(I',): what each new channel gets of the weight of the old one that it copies; the copies of one get 1 together.

    None is below (1 - spread) / copies.
    """
    copies = np.bincount(columns)[columns]
    drawn = rng.exponential(size=len(columns))  # over their sum: Dirichlet's distribution with all parameters 1
    parts = drawn / np.bincount(columns, drawn)[columns]
    shares: NDArray[np.float64] = (1.0 - spread) / copies + spread * parts
    return shares


def _shared_out(weight: Array, rows: Indices, columns: Indices, shares: NDArray[np.float64], groups: int) -> Array:
    """(O', I' / groups, ...) of `weight` (O, I / groups, ...): rows are copied, columns divided among their copies.

    `rows` (O',) and `columns` (I',) are index maps, `shares` (I',). Groups keep their order, and each has as many new
    columns.
    """
    inner = weight.shape[1]
    group = rows // (len(weight) // groups)  # of each new row
    columns, shares = columns.reshape(groups, -1), shares.reshape(groups, -1)
    picked = weight[rows[:, None], (columns % inner)[group]]
    shared = picked * shares[group].reshape(picked.shape[:2] + (1,) * (weight.ndim - 2))
    return np.ascontiguousarray(shared, dtype=weight.dtype)
