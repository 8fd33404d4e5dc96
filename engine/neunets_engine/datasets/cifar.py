"""CIFAR's batches as they are downloaded for Python: pickles, of which nothing but arrays is taken."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from neunets_engine.datasets.downloads import DAMAGED, content, inner_folder
from neunets_engine.datasets.source import Examples, Source, in_memory, refusal

__all__ = ["cifar"]

# What a damaged pickle raises.
DAMAGE: Final = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError
)  # fmt: skip
CIFAR_SHAPE: Final = (3, 32, 32)


def cifar(
    inner: str, trains: Sequence[str], tests: Sequence[str], names_in: tuple[str, str], label: str
) -> Callable[[Path], Source]:
    def read(folder: Path) -> Source:
        place = inner_folder(folder, inner)
        names = _unpickled(place / names_in[0]).get(names_in[1])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise refusal(place / names_in[0], f"it holds no {names_in[1]}", DAMAGED)
        sets = [
            _batches([place / file for file in files], label, len(names), part)
            for files, part in ((trains, "train"), (tests, "test"))
        ]
        return Source(tuple(names), sets[0], sets[1])

    return read


def _batches(files: Sequence[Path], label: str, classes: int, part: str) -> Examples:
    """Images of CIFAR's pickles, channels first: 180 MB at most, all in memory."""
    images, labels = [], []
    for file in files:
        batch = _unpickled(file)
        x, y = batch.get("data"), batch.get(label)
        size = int(np.prod(CIFAR_SHAPE))
        if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or x.ndim != 2 or x.shape[1] != size:
            raise refusal(file, "it holds no images of 32 x 32 pixels", DAMAGED)
        if not isinstance(y, list) or len(y) != len(x) or not all(_is_label(value, classes) for value in y):
            raise refusal(file, f"its {label} do not fit its {len(x)} images", DAMAGED)
        images.append(x.reshape(-1, *CIFAR_SHAPE).transpose(0, 2, 3, 1))
        labels.append(np.array(y, np.int64))
    return in_memory(np.concatenate(images), np.concatenate(labels), f"x_{part}")


def _is_label(value: object, classes: int) -> bool:
    return isinstance(value, int) and 0 <= value < classes


def _unpickled(file: Path) -> Mapping[str, Any]:
    try:
        found = _Plain(io.BytesIO(content(file)), encoding="latin1").load()
    except DAMAGE as error:
        raise refusal(file, f"it cannot be read as a batch of CIFAR ({error})", DAMAGED) from error
    if not isinstance(found, dict):
        raise refusal(file, "it is no batch of CIFAR", DAMAGED)
    return found


class _Plain(pickle.Unpickler):
    """Gives arrays, and nothing else that a pickle can call: it runs no code of the file."""

    def find_class(self, module: str, name: str) -> Any:
        rebuild = np.empty(0).__reduce__()[0]
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): rebuild,
            ("numpy._core.multiarray", "_reconstruct"): rebuild,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): _encode,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it wants {module}.{name}, which no array needs")
        return allowed[module, name]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 writes bytes for Python 2."""
    return text.encode(encoding)
