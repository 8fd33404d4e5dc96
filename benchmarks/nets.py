"""The networks of the trainer's benchmark: each as a graph of the IR, and the same written by hand in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn

from neunets.graph import AttributeValue, DataType, Graph, Input, Node, Shape

__all__ = ["CLASSES", "HEAVY", "NETS", "Net"]

CLASSES: Final = 10
SMALL: Final = Input("image", (28, 28, 1), DataType.UINT8, (73.0,), (90.0,))
LARGE: Final = Input("image", (64, 64, 3), DataType.UINT8, (125.0, 123.0, 114.0), (63.0, 62.0, 67.0))


@dataclass(frozen=True, slots=True)
class Net:
    """`module()`: of channels-first, normalised images (N, C, H, W); it has the parameters of `graph`."""

    name: str
    graph: Graph
    module: Callable[[], nn.Module]

    @property
    def shape(self) -> Shape:
        return self.graph.input.shape


class _Nodes:
    """A graph that grows at its end."""

    def __init__(self, given: Input) -> None:
        self._input, self._nodes, self.last = given, list[Node](), given.name

    def add(self, op: str, *inputs: str, **attributes: AttributeValue) -> str:
        self._nodes.append(Node(f"n{len(self._nodes)}", op, inputs or (self.last,), attributes))
        self.last = self._nodes[-1].name
        return self.last

    def convolution(self, channels: int, op: str = "conv") -> None:
        self.add(op, channels=channels, kernel=3)
        self.add("batch_norm")

    def relu(self) -> str:
        return self.add("activation", function="relu")

    def dense(self, units: int) -> None:
        self.add("linear", units=units)
        self.relu()

    def ended(self) -> Graph:
        self.add("linear", units=CLASSES)
        return Graph(self._input, tuple(self._nodes), self.last)


def _chain(name: str, given: Input, widths: tuple[int, ...], is_separable: bool = False) -> Net:
    """Convolution, batch norm, ReLU and a pool at each width; a global mean and the logits."""
    nodes = _Nodes(given)
    for number, width in enumerate(widths):
        nodes.convolution(width, "separable_conv" if is_separable and number else "conv")
        nodes.relu()
        nodes.add("max_pool", kernel=2)
    nodes.add("global_pool", function="avg")

    def module() -> nn.Module:
        layers: list[nn.Module] = []
        before = given.shape[-1]
        for number, width in enumerate(widths):
            if is_separable and number:
                layers += [nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False)]
                layers += [nn.Conv2d(before, width, 1, bias=False)]
            else:
                layers += [nn.Conv2d(before, width, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            before = width
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, CLASSES))

    return Net(name, nodes.ended(), module)


class _Residual(nn.Module):
    """relu(x + norm(conv(relu(norm(conv(x))))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(x + self.inner(x), inplace=True)


def _residual(width: int) -> Net:
    nodes = _Nodes(SMALL)
    nodes.convolution(width)
    nodes.relu()
    for _ in range(2):
        before = nodes.add("max_pool", kernel=2)
        nodes.convolution(width)
        nodes.relu()
        nodes.convolution(width)
        nodes.add("add", nodes.last, before)
        nodes.relu()
    nodes.add("global_pool", function="avg")

    def module() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.MaxPool2d(2), _Residual(width), nn.MaxPool2d(2), _Residual(width),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES),
        )  # fmt: skip

    return Net("residual", nodes.ended(), module)


def _perceptron() -> Net:
    nodes = _Nodes(SMALL)
    nodes.add("flatten")
    nodes.dense(256)
    nodes.dense(128)

    def module() -> nn.Module:
        hidden = [nn.Linear(28 * 28, 256), nn.ReLU(inplace=True), nn.Linear(256, 128), nn.ReLU(inplace=True)]
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(128, CLASSES))

    return Net("perceptron", nodes.ended(), module)


def _flat_head() -> Net:
    nodes = _Nodes(SMALL)
    for channels in (16, 32):
        nodes.add("conv", channels=channels, kernel=3, bias=True)
        nodes.relu()
        nodes.add("max_pool", kernel=2)
    nodes.add("flatten")
    nodes.dense(128)

    def module() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(inplace=True), nn.Linear(128, CLASSES),
        )  # fmt: skip

    return Net("flat head", nodes.ended(), module)


NETS: Final = (
    _chain("chain 16", SMALL, (16, 32, 64)),
    _chain("chain 64", SMALL, (64, 128, 256)),
    _chain("separable", SMALL, (32, 64, 128), is_separable=True),
    _residual(32),
    _perceptron(),
    _flat_head(),
    _chain("64 x 64", LARGE, (24, 48, 96)),
)
# 5.9 million parameters, of which a GPU's matrix units can be kept busy.
HEAVY: Final = _chain("heavy", LARGE, (256, 512, 1024))
