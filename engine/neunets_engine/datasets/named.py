"""torchvision's data sets where they are on disk already, as NAME:FOLDER. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from neunets_engine.datasets.cifar import cifar
from neunets_engine.datasets.downloads import DAMAGED, MISSING, content, inner_folder
from neunets_engine.datasets.idx import read_idx
from neunets_engine.datasets.mat import find_matrix
from neunets_engine.datasets.opening import open_file
from neunets_engine.datasets.source import Array, Examples, Source, refusal, rows_a_block

__all__ = ["NAMED", "read_named"]

FASHION: Final = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
KANA: Final = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
STL_SHAPE: Final = (3, 96, 96)
SVHN_SHAPE: Final = (32, 32, 3)
Read = Callable[[Path], Source]


def read_named(name: str, folder: Path) -> Source:
    """`folder`: torchvision's `root`, or what lies in it. Raises: InvalidRequest, which names the file."""
    return NAMED[name](folder)


def _mnist(name: str, classes: tuple[str, ...] | None = None) -> Read:
    return lambda folder: read_idx(inner_folder(folder, f"{name}/raw"), classes)


def _svhn(folder: Path) -> Source:
    train, test = (_svhn_part(folder / f"{part}_32x32.mat", f"x_{part}") for part in ("train", "test"))
    return Source(tuple(map(str, range(10))), train, test)


def _svhn_part(file: Path, name: str) -> Examples:
    if not file.is_file():
        raise refusal(file, "there is no such file", MISSING)
    x, labels = find_matrix(file, "X"), find_matrix(file, "y")
    count = x.shape[-1]
    if x.dtype != np.uint8 or x.shape[:-1] != SVHN_SHAPE or labels.shape != (count, 1):
        raise refusal(file, f"X is {x.dtype} {x.shape}, y is {labels.shape}", DAMAGED)
    y = np.concatenate([np.zeros(0), *labels.blocks(count)]).astype(np.int64)
    if count and not 1 <= y.min() <= y.max() <= 10:
        raise refusal(file, "it holds labels outside 1..10", DAMAGED)
    rows = rows_a_block(SVHN_SHAPE, np.dtype(np.uint8))
    size = int(np.prod(SVHN_SHAPE))

    def blocks() -> Iterator[Array]:
        for block in x.blocks(rows * size):
            yield block.reshape(-1, *reversed(SVHN_SHAPE)).transpose(0, 3, 2, 1)

    return Examples(y % 10, SVHN_SHAPE, blocks, lambda row: f"{name}[{row}]")  # the digit 0 is written as 10


def _stl10(folder: Path) -> Source:
    place = inner_folder(folder, "stl10_binary")
    names = tuple(content(place / "class_names.txt").decode(errors="replace").split())
    train, test = (_stl10_part(place, part, len(names)) for part in ("train", "test"))
    return Source(names, train, test)


def _stl10_part(place: Path, part: str, classes: int) -> Examples:
    file, y = place / f"{part}_X.bin", np.frombuffer(content(place / f"{part}_y.bin"), np.uint8).astype(np.int64) - 1
    size = int(np.prod(STL_SHAPE))
    if len(y) and not 0 <= y.min() <= y.max() < classes:
        raise refusal(place / f"{part}_y.bin", f"it holds labels outside 1..{classes}", DAMAGED)
    if not file.is_file() or file.stat().st_size != len(y) * size:
        raise refusal(file, f"it has not {len(y)} images of 96 x 96 pixels", DAMAGED)
    rows = rows_a_block(STL_SHAPE, np.dtype(np.uint8))

    def blocks() -> Iterator[Array]:
        with open_file(file) as stream:
            while data := stream.read(rows * size):  # each channel by columns
                yield np.frombuffer(data, np.uint8).reshape(-1, *STL_SHAPE).transpose(0, 3, 2, 1)

    return Examples(y, (96, 96, 3), blocks, lambda row: f"image {row} of {file}")


NAMED: Final[Mapping[str, Read]] = {
    "mnist": _mnist("MNIST"),
    "fashionmnist": _mnist("FashionMNIST", FASHION),
    "kmnist": _mnist("KMNIST", KANA),
    "cifar10": cifar(
        "cifar-10-batches-py",
        [f"data_batch_{number}" for number in range(1, 6)],
        ["test_batch"],
        ("batches.meta", "label_names"),
        "labels",
    ),
    "cifar100": cifar("cifar-100-python", ["train"], ["test"], ("meta", "fine_label_names"), "fine_labels"),
    "svhn": _svhn,
    "stl10": _stl10,
}
