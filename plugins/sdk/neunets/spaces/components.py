"""Layers in components, each of which halves the map: what chains without and with skips have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from neunets.graph import Graph, Input
from neunets.spaces.build import DROPOUTS, FILTERS, Draft, Head, Layer, halvings
from neunets.spaces.narrow import channels, check_size, counted
from neunets.spaces.parameters import Condition, Configuration, Parameter, choice, value_of, whole

__all__ = ["chain_entries", "chain_network", "chain_sentence"]

MOST_COMPONENTS, MOST_LAYERS = 8, 16
# Where the extents allow it: a mean over a large map of few layers tells little.
FEWEST_COMPONENTS: Final = 2
GROWTHS: Final = (1.5, 2.0)
# Of a component's width, what a layer has.
WIDTHS: Final = (0.5, 1.0, 1.5)
KERNELS: Final = (1, 3, 5)
# A kernel of one position would only weigh the input's few channels.
FIRST_KERNELS: Final = (3, 5)
FUNCTIONS: Final = ("relu", "silu", "gelu")
POOLS: Final = ("max_pool", "avg_pool")


def chain_entries(source: Input, components: int, layers: int, has_skips: bool) -> tuple[Parameter, ...]:
    """`components` and `layers` of each: at most. Raises: InvalidRequest."""
    check_size("components", components, MOST_COMPONENTS)
    check_size("layers", layers, MOST_LAYERS)
    pools = halvings(source)
    most = min(components, pools + 1)
    entries = [
        whole("components", min(FEWEST_COMPONENTS, most), most),
        Parameter("filters", FILTERS, True),
        Parameter("growth", GROWTHS, True),
        choice("activation", *FUNCTIONS),
        choice("pools_early", False, True),
        choice("head", "global_pool", "flatten"),
        Parameter("dropout", DROPOUTS, True),
    ]
    for component in range(1, most + 1):
        exists = Condition("components", tuple(range(component, most + 1)))
        entries.append(whole(f"component{component}/layers", 1, layers, when=(exists,)))
        if component <= pools:
            entries.append(choice(f"component{component}/pool", *POOLS, when=(exists,)))
        for layer in range(1, layers + 1):
            entries += _layer_entries(component, layer, layers, has_skips)
    return tuple(entries)


def _layer_entries(component: int, layer: int, layers: int, has_skips: bool) -> list[Parameter]:
    scope = f"component{component}/layer{layer}"
    when = (Condition(f"component{component}/layers", tuple(range(layer, layers + 1))),)
    skips = [choice(f"{scope}/skip{earlier}", False, True, when=when) for earlier in range(1, layer) if has_skips]
    width = Parameter(f"{scope}/width", WIDTHS, True, when)
    if component == layer == 1:  # nothing is gained by separating the input's few channels, either
        return [Parameter(f"{scope}/kernel", FIRST_KERNELS, True, when), width]
    kind = choice(f"{scope}/kind", "conv", "separable_conv", when=when)
    return [Parameter(f"{scope}/kernel", KERNELS, True, when), kind, width, *skips]


def chain_network(source: Input, classes: int, configuration: Configuration, factor: float) -> Graph:
    """`factor`: of all widths."""
    chain, value = _Chain(Draft(source), configuration, factor), source.name
    for number in range(1, value_of(configuration, "components", int) + 1):
        value = chain.component(number, value)
    is_flat = value_of(configuration, "head", str) == "flatten"
    return chain.draft.graph(value, Head(classes, value_of(configuration, "dropout", float), is_flat))


def chain_sentence(configuration: Configuration, filters: str) -> str:
    counts = [count for name, count in configuration.items() if name.endswith("/layers")]
    skips = sum(is_on is True for name, is_on in configuration.items() if "/skip" in name)
    pools = sorted({str(pool).removesuffix("_pool") for name, pool in configuration.items() if name.endswith("/pool")})
    place = "behind the first convolution" if value_of(configuration, "pools_early", bool) else "at the end"
    dropout = value_of(configuration, "dropout", float)
    parts = [
        f"{counted(len(counts), 'component')} of {', '.join(map(str, counts))} layers",
        *([counted(skips, "skip")] if skips else []),
        filters,
        value_of(configuration, "activation", str),
        *([f"{' and '.join(pools)} pools {place} of a component"] if pools else []),
        "a flattened map" if value_of(configuration, "head", str) == "flatten" else "a global pool",
        *([f"dropout {dropout:g}"] if dropout else []),
    ]
    return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class _Chain:
    draft: Draft
    configuration: Configuration
    factor: float

    def component(self, number: int, source: str) -> str:
        scope = f"component{number}"
        pool = self._text(f"{scope}/pool") if f"{scope}/pool" in self.configuration else ""
        last = value_of(self.configuration, f"{scope}/layers", int)
        pooling = 1 if value_of(self.configuration, "pools_early", bool) else last
        values = [source]
        for layer in range(1, last + 1):
            values.append(self._layer(number, layer, values, pool if layer == pooling else ""))
        return values[-1]

    def _layer(self, component: int, number: int, values: list[str], pool: str) -> str:
        """`values`: of what the component reads, and of its earlier layers."""
        scope, draft, source = f"component{component}/layer{number}", self.draft, values[-1]
        function, layer = self._text("activation"), self._plain(component, number)
        chosen = [each for each in range(1, number) if self.configuration.get(f"{scope}/skip{each}", False)]
        skips = [values[each] for each in chosen]
        if not skips:
            return draft.layer(scope, source, replace(layer, pool=pool))
        if all(self._width(component, each) == self._width(component, number) for each in chosen):
            value = draft.layer(scope, source, replace(layer, function=""))
            value = draft.total(scope, [value, *skips])
            value = draft.halved(scope, value, pool) if pool else value
            return draft.activated(scope, value, function)
        value = draft.joined(scope, [draft.layer(scope, source, layer), *skips])
        return draft.layer(f"{scope}/mix", value, Layer("conv", layer.channels, 1, pool=pool, function=function))

    def _plain(self, component: int, number: int) -> Layer:
        """Without pool and skips."""
        scope = f"component{component}/layer{number}"
        kind = "conv" if component == number == 1 else self._text(f"{scope}/kind")
        filters = value_of(self.configuration, "filters", int)
        growth = value_of(self.configuration, "growth", float) ** (component - 1)
        width = channels(filters * growth * self._width(component, number) * self.factor)
        kernel = value_of(self.configuration, f"{scope}/kernel", int)
        return Layer(kind, width, kernel, function=self._text("activation"))

    def _width(self, component: int, number: int) -> float:
        """Not the channels, which narrowing may make equal: it changes no structure."""
        return value_of(self.configuration, f"component{component}/layer{number}/width", float)

    def _text(self, name: str) -> str:
        return value_of(self.configuration, name, str)
