"""Small labelled data in every form that can be read."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["FORMS", "Made", "labels", "pixels", "write_folder", "write_idx", "write_npz"]

Array = NDArray[Any]
IDX: Final = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class Made:
    """A source, and the arrays that reading it has to give: x (N, H, W, C) or (N, L, C), y (N,)."""

    source: Path
    classes: tuple[str, ...]
    x: Array
    y: Array
    test: tuple[Array, Array] | None = None


def pixels(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def labels(rows: int, classes: int = 2) -> Array:
    return np.sort(np.arange(rows, dtype=np.int64) % classes)


def write_folder(path: Path, x: Array, y: Array, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """CLASS/NUMBER.png; x (N, H, W) or (N, H, W, 3)."""
    for number, (image, label) in enumerate(zip(x, y, strict=True)):
        file = path / classes[label] / f"{number:03d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return path


def write_npz(path: Path, **arrays: Any) -> Path:
    file = path / "data.npz"
    path.mkdir(parents=True, exist_ok=True)
    np.savez(file, **arrays)
    return file


def write_idx(path: Path, *arrays: Array, suffix: str = "") -> Path:
    """x_train, y_train and perhaps x_test, y_test; uint8."""
    path.mkdir(parents=True, exist_ok=True)
    for name, array in zip(IDX, arrays, strict=False):
        data = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
        (path / f"{name}{suffix}").write_bytes(gzip.compress(data) if suffix == ".gz" else data)
    return path


def _grey_folder(path: Path) -> Made:
    x, y = pixels(8, 4, 5), labels(8)
    return Made(write_folder(path, x, y), ("cat", "dog"), x[..., np.newaxis], y)


def _colour_folder(path: Path) -> Made:
    """Its last image is grey."""
    x, y = pixels(8, 4, 5, 3), labels(8)
    x[-1] = x[-1, :, :, :1]
    write_folder(path, x, y)
    Image.fromarray(x[-1, :, :, 0]).save(path / "dog" / "007.png")
    return Made(path, ("cat", "dog"), x, y)


def _folder_with_test(path: Path) -> Made:
    x, y = pixels(6, 4, 5), labels(6)
    x_test, y_test = pixels(4, 4, 5, seed=1), labels(4)
    write_folder(path / "train", x, y)
    write_folder(path / "test", x_test, y_test)
    return Made(path, ("cat", "dog"), x[..., np.newaxis], y, (x_test[..., np.newaxis], y_test))


def _npz(path: Path) -> Made:
    x, y = pixels(9, 4, 5), labels(9, 3)
    return Made(write_npz(path, x_train=x, y_train=10 * y), ("0", "10", "20"), x[..., np.newaxis], y)


def _npz_with_test(path: Path) -> Made:
    x, y = pixels(6, 4, 5, 3), labels(6)
    x_test, y_test = pixels(2, 4, 5, 3, seed=1), labels(2)
    file = write_npz(path, x_train=x, y_train=y.astype(float), x_test=x_test, y_test=y_test)
    return Made(file, ("0", "1"), x, y, (x_test, y_test))


def _npz_with_names(path: Path) -> Made:
    x, y = pixels(6, 4, 5, 1), labels(6)
    return Made(write_npz(path, x_train=x, y_train=y, classes=["no", "yes"]), ("no", "yes"), x, y)


def _npz_with_strings(path: Path) -> Made:
    x, y = pixels(6, 4, 5, 1), labels(6)
    return Made(write_npz(path, x_train=x, y_train=np.array(["ant", "bee"])[y]), ("ant", "bee"), x, y)


def _npz_with_bytes(path: Path) -> Made:
    x, y = pixels(6, 4, 5, 1), labels(6)
    return Made(write_npz(path, x_train=x, y_train=np.array([b"ant", b"bee"])[y]), ("ant", "bee"), x, y)


def _sequences(path: Path) -> Made:
    x, y = pixels(6, 7) / 7.0, labels(6)
    return Made(write_npz(path, x_train=x, y_train=y), ("0", "1"), x[..., np.newaxis].astype(np.float32), y)


def _sequences_of_channels(path: Path) -> Made:
    x, y = (pixels(6, 7, 2) / 7.0).astype(np.float16), labels(6)
    return Made(write_npz(path, x_train=x, y_train=y), ("0", "1"), x.astype(np.float32), y)


def _idx(path: Path) -> Made:
    x, y = pixels(8, 4, 5), labels(8)
    return Made(write_idx(path, x, y), ("0", "1"), x[..., np.newaxis], y)


def _packed_idx_with_test(path: Path) -> Made:
    x, y, x_test, y_test = pixels(8, 4, 5), labels(8), pixels(2, 4, 5, seed=1), labels(2)
    write_idx(path, x, y, x_test, y_test, suffix=".gz")
    return Made(path, ("0", "1"), x[..., np.newaxis], y, (x_test[..., np.newaxis], y_test))


FORMS: Final[dict[str, Callable[[Path], Made]]] = {
    "folder of grey images": _grey_folder,
    "folder of coloured images": _colour_folder,
    "folder with a test set": _folder_with_test,
    "npz": _npz,
    "npz with a test set": _npz_with_test,
    "npz with names": _npz_with_names,
    "npz with strings": _npz_with_strings,
    "npz with bytes": _npz_with_bytes,
    "npz of sequences": _sequences,
    "npz of sequences of channels": _sequences_of_channels,
    "idx": _idx,
    "packed idx with a test set": _packed_idx_with_test,
}
