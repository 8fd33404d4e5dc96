"""Small labelled data in every form that can be read."""

from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

__all__ = [
    "FORMS",
    "Made",
    "labels",
    "pixels",
    "png",
    "write_cifar",
    "write_folder",
    "write_idx",
    "write_npz",
    "write_parquet",
    "write_table",
]

Array = NDArray[Any]
IDX: Final = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class Made:
    """A source, and the arrays that reading it has to give: x (N, H, W, C) or (N, L, C), y (N,)."""

    source: Path | str
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


def png(image: Array) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def write_table(path: Path, name: str, header: str, lines: list[list[object]]) -> Path:
    """Separated by commas, or by tabs where the name ends so."""
    path.mkdir(parents=True, exist_ok=True)
    delimiter = "\t" if name.endswith(".tsv") else ","
    with (path / name).open("w", newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([header.split(","), *lines])
    return path / name


def write_parquet(path: Path, name: str = "data.parquet", **columns: object) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pa.table(columns), path / name)
    return path / name


def write_cifar(path: Path, batches: dict[str, tuple[Array, Array]]) -> Path:
    """`cifar-10-batches-py` with `batches` (x (N, 32, 32, 3), y), pickled as for Python 2."""
    folder = path / "cifar-10-batches-py"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["cat", "dog"]}, protocol=2))
    for name, (x, y) in batches.items():
        batch = {"data": x.transpose(0, 3, 1, 2).reshape(len(x), -1), "labels": y.tolist()}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
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


def _csv_with_splits(path: Path) -> Made:
    x, y, part = pixels(12, 4, 5), labels(12), np.arange(12) % 3 > 0
    write_folder(path / "images", x, y)
    rows = [
        [f"images/{('cat', 'dog')[label]}/{n:03d}.png", ("a", "b")[label], "train" if part[n] else "test"]
        for n, label in enumerate(y)
    ]
    file = write_table(path, "data.csv", "File,Label,split", rows)
    x = x[..., np.newaxis]
    return Made(file, ("a", "b"), x[part], y[part], (x[~part], y[~part]))


def _tsv(path: Path) -> Made:
    x, y = pixels(8, 4, 5, 3), labels(8)
    write_folder(path, x, y)
    rows: list[list[object]] = [[10 - label, f"{('cat', 'dog')[label]}/{n:03d}.png"] for n, label in enumerate(y)]
    return Made(write_table(path, "data.tsv", "class,path", rows), ("9", "10"), x, 1 - y)


def _parquet_of_bytes(path: Path) -> Made:
    x, y = pixels(8, 4, 5, 3), labels(8)
    return Made(write_parquet(path, image=[png(row) for row in x], label=y), ("0", "1"), x, y)


def _parquet_of_hugging_face(path: Path) -> Made:
    x, y = pixels(8, 4, 5), labels(8)
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    for part in ("train", "test"):
        table = pa.table({"image": [{"bytes": png(row), "path": None} for row in x], "label": y})
        (path / "data").mkdir(parents=True, exist_ok=True)
        file = path / "data" / f"{part}-00000-of-00001.parquet"
        pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), file, row_group_size=3)
        x = 255 - x
    return Made(path, ("cat", "dog"), x[..., np.newaxis], y, (255 - x[..., np.newaxis], y))


def _feather(path: Path) -> Made:
    x, y = pixels(8, 4, 5), labels(8)
    path.mkdir(parents=True)
    table = pa.table({"img": [png(row) for row in x], "target": ["ant"] * 4 + ["bee"] * 4})
    pyarrow.feather.write_feather(table, path / "data.feather", chunksize=3)
    return Made(path / "data.feather", ("ant", "bee"), x[..., np.newaxis], y)


def _arrow_stream(path: Path) -> Made:
    x, y = pixels(8, 4, 5), labels(8)
    path.mkdir(parents=True)
    table = pa.table({"image": [png(row) for row in x], "label": y.astype(float)})
    with pa.OSFile(str(path / "data.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    return Made(path / "data.arrow", ("0", "1"), x[..., np.newaxis], y)


def _cifar(path: Path) -> Made:
    x, y, x_test, y_test = pixels(10, 32, 32, 3), labels(10), pixels(4, 32, 32, 3, seed=1), labels(4)
    train = {f"data_batch_{n + 1}": (x[2 * n : 2 * n + 2], y[2 * n : 2 * n + 2]) for n in range(5)}
    write_cifar(path, train | {"test_batch": (x_test, y_test)})
    return Made(f"cifar10:{path}", ("cat", "dog"), x, y, (x_test, y_test))


def _fashion(path: Path) -> Made:
    x, y = pixels(20, 4, 5), labels(20, 10)
    write_idx(path / "FashionMNIST" / "raw", x, y, x[:3], y[:3])
    names = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
    x = x[..., np.newaxis]
    return Made(f"FashionMNIST:{path}", names, x, y, (x[:3], y[:3]))


def _svhn(path: Path) -> Made:
    x, y = pixels(20, 32, 32, 3), labels(20, 10)
    path.mkdir(parents=True)
    for part, rows in (("train", slice(None)), ("test", slice(3))):
        digits = np.where(y[rows] == 0, 10, y[rows])[:, np.newaxis].astype(np.uint8)
        arrays = {"X": x[rows].transpose(1, 2, 3, 0), "y": digits}
        savemat(path / f"{part}_32x32.mat", arrays, do_compression=part == "train")
    return Made(f"svhn:{path}", tuple("0123456789"), x, y, (x[:3], y[:3]))


def _stl10(path: Path) -> Made:
    x, y = pixels(4, 96, 96, 3), labels(4)
    folder = path / "stl10_binary"
    folder.mkdir(parents=True)
    (folder / "class_names.txt").write_text("cat\ndog\n")
    for part in ("train", "test"):
        (folder / f"{part}_X.bin").write_bytes(x.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{part}_y.bin").write_bytes((y + 1).astype(np.uint8).tobytes())
    return Made(f"stl10:{path}", ("cat", "dog"), x, y, (x, y))


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
    "csv with splits": _csv_with_splits,
    "tsv": _tsv,
    "parquet of bytes": _parquet_of_bytes,
    "parquet of Hugging Face": _parquet_of_hugging_face,
    "feather": _feather,
    "arrow stream": _arrow_stream,
    "cifar": _cifar,
    "fashion": _fashion,
    "svhn": _svhn,
    "stl10": _stl10,
}
