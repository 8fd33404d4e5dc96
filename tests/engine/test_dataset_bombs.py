"""Small files that announce or unpack to much are refused by their headers; what is no regular file, by its name."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from neunets.errors import InvalidRequest
from neunets_engine.datasets import Request, register
from sources import labels, pixels, write_folder, write_idx, write_parquet, write_table

X, Y = pixels(8, 4, 5), labels(8)


def npz(**arrays: tuple[tuple[int, ...], str, bytes]) -> Callable[[Path], Path]:
    """Members of a shape and type that their bytes do not have to follow."""
    good = {"x_train": (X.shape, "|u1", X.tobytes()), "y_train": (Y.shape, "<i8", Y.tobytes())}

    def write(path: Path) -> Path:
        path.mkdir()
        with zipfile.ZipFile(path / "data.npz", "w", zipfile.ZIP_DEFLATED) as file:
            for name, (shape, dtype, data) in (good | arrays).items():
                head = io.BytesIO()
                np.lib.format.write_array_header_1_0(head, {"descr": dtype, "fortran_order": False, "shape": shape})
                file.writestr(f"{name}.npy", head.getvalue() + data)
        return path / "data.npz"

    return write


def idx(counts: tuple[int, ...], rows: int) -> Callable[[Path], Path]:
    """`counts` and `rows`: what the headers of images and labels announce."""

    def write(path: Path) -> Path:
        write_idx(path, X, Y, suffix=".gz")
        image = struct.pack(f">HBB{len(counts)}I", 0, 8, len(counts), *counts)
        (path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(image + bytes(1 << 20)))
        label = struct.pack(">HBBI", 0, 8, 1, rows)
        (path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(label + bytes(range(8))))
        return path

    return write


def large_picture(path: Path) -> Path:
    write_folder(path, X, Y)
    Image.new("1", (16384, 16384)).save(path / "dog" / "large.png")
    return path


def linked(target: str) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        write_folder(path, X, Y)
        (path / "dog" / "linked.png").symlink_to(target)
        return path

    return write


def pipe(name: str) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        write_folder(path, X, Y)
        os.mkfifo(path / name)
        return path if "/" in name else path / name

    return write


def pipe_in_table(path: Path) -> Path:
    write_folder(path, X, Y)
    os.mkfifo(path / "pipe.png")
    rows: list[list[object]] = [["pipe.png", "cat"], *([f"dog/{n:03d}.png", "dog"] for n in range(4, 8))]
    return write_table(path, "data.csv", "file,label", rows + rows[:1] * 3)


def long_line(path: Path) -> Path:
    return write_table(path, "data.csv", "file,label", [["a" * 100, "b"] * 20_000])


def many_rows(path: Path) -> Path:
    """A Parquet file of some kilobytes that announces more than 20 million rows."""
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(20_000_001, np.int8)), ["a"])
    return write_parquet(path, image=column, label=column)


BOMBS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "labels": (npz(y_train=((1 << 28,), "<i8", b"")), "y_train"),
    "example": (npz(x_train=((8, 1 << 14, 1 << 15), "|u1", b"")), "its header announces"),
    "overflow": (npz(x_train=((8, 1 << 33, 1 << 31), "|u1", X.tobytes())), "its header announces"),
    "names": (npz(classes=((2,), "<U134217728", b"")), "its header announces"),
    "longer labels": (npz(y_train=((9,), "<i8", bytes(72))), r"x_train is \(8, 4, 5\), y_train is \(9,\)"),
    "long label": (npz(y_train=((8,), "<U4096", bytes(8 << 14))), "y_train is of 16,384 bytes a label"),
    "idx images": (idx((8, 1 << 15, 1 << 15), 8), "one example of"),
    "idx labels": (idx((8, 4, 5), 1 << 31), "8 images, there are 2147483648 labels"),
    "picture": (large_picture, "large.png: .*pixels"),
    "pipe": (pipe("pipe.npz"), "it is a named pipe"),
    "pipe in a folder": (pipe("dog/pipe.png"), "pipe.png: .*it is a named pipe"),
    "pipe in a table": (pipe_in_table, "pipe.png .*it is a named pipe"),
    "endless": (linked("/dev/zero"), "linked.png: .*it is a device"),
    "kernel": (linked("/proc/self/environ"), "linked.png: .*it is a file of the kernel"),
    "loop": (linked("linked.png"), "linked.png: .*symbolic links"),
    "rows": (many_rows, "it announces 20,000,001 rows"),
    "line": (long_line, "more than 1,048,576 characters"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("bomb", BOMBS)
def test_is_refused_by_name(bomb: str, tmp_path: Path) -> None:
    make, said = BOMBS[bomb]
    with pytest.raises(InvalidRequest, match=said):
        register(Request(str(make(tmp_path / "data"))), tmp_path / "kept")
    assert not list((tmp_path / "kept").glob("*"))


def test_names_that_are_no_text_are_refused_readably(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "data", X, Y)
    broken = Path(os.fsdecode(bytes(source / "cat") + b"/\xff.png"))
    broken.write_bytes(b"no image")
    with pytest.raises(InvalidRequest, match=r"\\udcff.png: it cannot be read as an image") as caught:
        register(Request(str(source)), tmp_path / "kept")
    caught.value.message.encode()
    broken.unlink()
    (source / "cat").rename(os.fsdecode(bytes(source) + b"/\xff"))
    with pytest.raises(InvalidRequest, match=r"the name of class .* is no UTF-8; rename its folder"):
        register(Request(str(source)), tmp_path / "kept")
