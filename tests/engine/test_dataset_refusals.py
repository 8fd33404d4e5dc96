"""Data that cannot be used is refused by the name of the file or array, with what to do about it."""

from __future__ import annotations

import io
import os
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from neunets.errors import InvalidRequest
from neunets_engine.datasets import Request, register
from sources import (
    FORMS,
    labels,
    pixels,
    png,
    write_cifar,
    write_folder,
    write_idx,
    write_npz,
    write_parquet,
    write_table,
)

X, Y = pixels(8, 4, 5), labels(8)
Make = Callable[[Path], object]


def folder(change: Callable[[Path], object]) -> Make:
    """A good folder of classes, and what is done to it."""
    return lambda path: change(write_folder(path, X, Y))


def deep(path: Path) -> object:
    write_folder(path / "one", X, Y)
    return write_folder(path / "two", X, Y)


def folder_with_test(change: Callable[[Path], object]) -> Make:
    def make(path: Path) -> object:
        write_folder(path / "train", X, Y)
        write_folder(path / "test", X, Y)
        return change(path)

    return make


def idx(change: Callable[[Path], object]) -> Make:
    return lambda path: change(write_idx(path, X, Y))


def npz(**arrays: object) -> Make:
    return lambda path: write_npz(path, **{"x_train": X, "y_train": Y} | arrays)


def written(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def a_zip(path: Path) -> None:
    path.mkdir(parents=True)
    with zipfile.ZipFile(path / "data.npz", "w") as file:
        file.writestr("y_train", "no array")
        file.writestr("x_train", "no array")


def an_array(path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, X)
    written(path / "data.npz", stream.getvalue())


def with_value(value: float) -> np.ndarray:
    x = np.zeros((8, 3))
    x[5, 1] = value
    return x


class Exploit:
    """Unpickled by a reader that trusts its file, it makes a folder."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("exploited",)


def table(header: str, *lines: list[object]) -> Make:
    """A good folder of classes beside a table with these lines."""

    def make(path: Path) -> None:
        write_folder(path, X, Y)
        write_table(path, "data.csv", header, list(lines))

    return make


def parquet(**columns: object) -> Make:
    return lambda path: write_parquet(path, **{"image": PNGS, "label": Y} | columns)


def cifar(change: Callable[[Path], object]) -> Make:
    def make(path: Path) -> object:
        batches = {f"data_batch_{number}": (SQUARE, Y) for number in range(1, 6)}
        write_cifar(path, batches | {"test_batch": (SQUARE, Y)})
        return change(path / "cifar-10-batches-py")

    return make


def unreadable(path: Path) -> None:
    (path / "cat/000.png").chmod(0)


SQUARE, PNGS = pixels(8, 32, 32, 3), [png(row) for row in X]
BOMB = b"P5 20000 20000 255\n"
FLOAT = Image.fromarray(np.zeros((4, 5), np.float32))
DEEP = Image.fromarray(np.full((4, 5), 1 << 20, np.int32))
CSV = "data.csv"
# Source in the folder, how it is made, the culprit, the fix.
REFUSALS: dict[str, tuple[str, Make, str, str]] = {
    "missing path": ("", lambda path: None, "no such file or folder", "give a path"),
    "name too long": ("x" * 5000, lambda path: None, "no such file or folder", "give a path"),
    "unknown form": ("data.txt", lambda path: written(path / "data.txt", b"1,2"), "data.txt", "files can be read"),
    "empty folder": ("", lambda path: path.mkdir(), "none of the known forms", "one folder of images a class"),
    "empty train": (
        "",
        lambda path: (path / "train").mkdir(parents=True),
        "train: .* no class",
        "one folder of images",
    ),
    "one class": ("", lambda path: write_folder(path, X, 0 * Y), "1 class", "at least 2"),
    "two examples": ("", lambda path: write_folder(path, X[:4], Y[1:5]), "'dog' has 1", "at least 3 a class"),
    "empty file": ("", folder(lambda p: written(p / "cat/a.png", b"")), "cat/a.png: .* empty", "replace or remove"),
    "no image": ("", folder(lambda p: written(p / "cat/a.png", b"text")), "cat/a.png: .* read", "replace or remove"),
    "cut image": ("", folder(lambda p: cut(p / "dog/007.png")), "dog/007.png: .* read", "replace or remove"),
    "broken header": ("", folder(lambda p: written(p / "cat/a.ppm", b"P6 5")), "cat/a.ppm: .* read", "replace"),
    "dangling link": (
        "",
        folder(lambda p: (p / "cat/a.png").symlink_to("b")),
        "cat/a.png: .* no such file",
        "remove what",
    ),
    "folder for an image": ("", folder(lambda p: (p / "cat/a.png").mkdir()), "cat/a.png: .* read", "replace"),
    "empty class": ("", folder(lambda p: (p / "eel").mkdir()), "eel: .* no images", "remove the folder"),
    "test class": ("", folder_with_test(lambda p: (p / "test/eel").mkdir()), "test/eel: .* not in train", "add it"),
    "npz without x": ("data.npz", lambda path: write_npz(path, y_train=Y), "no array x_train", "save it as x_train"),
    "npz of one class": ("data.npz", npz(y_train=0 * Y), "1 class", "at least 2 classes"),
    "NaN label": ("data.npz", npz(y_train=np.where(Y == 1, np.nan, 0.0)), r"y_train\[4\] is nan", "a label"),
    "fractions": ("data.npz", npz(y_train=Y / 2), "y_train holds fractions", "whole numbers or strings"),
    "labels by row": (
        "data.npz",
        npz(y_train=np.stack([Y, Y], 1)),
        r"y_train\[4\] has 2 classes that are 1 \(multi-label\)",
        "only images with one class",
    ),
    "complex labels": ("data.npz", npz(y_train=1j * Y), "y_train is of type complex", "whole numbers or strings"),
    "lengths": ("data.npz", npz(x_train=X[1:]), r"x_train is \(7, 4, 5\), y_train is \(8,\)", "one label an example"),
    "number for x": ("data.npz", npz(x_train=np.uint8(1)), r"x_train is \(\)", "one label an example"),
    "no values": ("data.npz", npz(x_train=np.zeros((8, 0))), r"x_train is \(8, 0\)", "needs values"),
    "integers": ("data.npz", npz(x_train=X.astype(int) * 3), r"x_train: is int64 \(8, 4, 5\), with values", "0..255"),
    "floats in the test set": (
        "data.npz",
        npz(x_train=X[..., None], x_test=X[..., None] / 255, y_test=Y),
        r"x_test is float64 \(8, 4, 5, 1\), x_train is uint8",
        "make them alike",
    ),
    "another range in the test set": (
        "data.npz",
        npz(x_train=X[..., None] / 255, x_test=X[..., None] * 1.0, y_test=Y),
        r"x_test\[0\]: holds values outside 0..1, the range of x_train",
        "scale",
    ),
    "alpha in the test set": (
        "data.npz",
        npz(x_train=np.full((8, 4, 5, 4), 255, np.uint8), x_test=np.zeros((8, 4, 5, 4), np.uint8), y_test=Y),
        r"x_test\[0\]: is not opaque",
        "convert it to RGB",
    ),
    "NaN value": ("data.npz", npz(x_train=with_value(np.nan)), r"x_train\[5\]", "fill or remove it"),
    "too large a value": ("data.npz", npz(x_train=with_value(1e300)), r"x_train\[5\]", "fill or remove it"),
    "only x_test": ("data.npz", npz(x_test=X), "x_test and y_test it has only one", "save both, or neither"),
    "only y_test": ("data.npz", npz(y_test=Y), "x_test and y_test it has only one", "save both, or neither"),
    "new test label": ("data.npz", npz(x_test=X, y_test=Y + 1), "label 2 of y_test", "remove those rows"),
    "test shape": ("data.npz", npz(x_test=X[:, 1:], y_test=Y), r"\(3, 5, 1\) in x_test", "make them alike"),
    "empty test set": ("data.npz", npz(x_test=X[:0], y_test=Y[:0]), "test set is empty", "or remove it"),
    "names": ("data.npz", npz(classes=["a", "b", "c"]), "3 names in classes, 2 labels in y_train", "agree"),
    "objects": ("data.npz", npz(y_train=np.array([None] * 8)), "data.npz: .* read", "without object arrays"),
    "no npz": ("data.npz", lambda path: written(path / "data.npz", b"text"), "data.npz: .* read", "numpy.savez"),
    "empty npz": ("data.npz", lambda path: written(path / "data.npz", b""), "data.npz: .* read", "numpy.savez"),
    "array as npz": ("data.npz", an_array, "data.npz: .* single array", "numpy.savez"),
    "zip as npz": ("data.npz", a_zip, "no array x_train", "save it"),
    "truncated idx": (
        "",
        idx(lambda p: cut(p / "train-images-idx3-ubyte")),
        "train-images.*88 bytes too early",
        "download",
    ),
    "idx header": (
        "",
        idx(lambda p: written(p / "train-images-idx3-ubyte", b"ab")),
        "train-images.*2 bytes too early",
        "download",
    ),
    "empty idx": ("", idx(lambda p: written(p / "train-labels-idx1-ubyte", b"")), "train-labels.*empty", "download"),
    "packed idx": (
        "",
        lambda path: cut(write_idx(path, X, Y, suffix=".gz") / "train-labels-idx1-ubyte.gz"),
        "train-labels.*gz: .*read",
        "download",
    ),
    "idx of floats": (
        "",
        idx(lambda p: written(p / "train-images-idx3-ubyte", struct.pack(">HBBI", 0, 13, 1, 1) + bytes(4))),
        "train-images",
        "download",
    ),
    "idx without labels": ("", lambda path: write_idx(path, X), "train-labels-idx1-ubyte.*missing", "put it there"),
    "half a test set": ("", lambda path: write_idx(path, X, Y, X), "only one is there", "both there, or neither"),
    "idx of one more": (
        "",
        idx(lambda p: written(p / "train-labels-idx1-ubyte", struct.pack(">HBBI", 0, 8, 1, 8) + bytes(9))),
        "longer than its header",
        "download",
    ),
    "bare images": ("", lambda path: written(path / "a.png", PNGS[0]), "no folder of a class", "one folder of images"),
    "too deep": ("", deep, "lie deeper, such as .*png", "move them up"),
    "twin classes": ("", folder(lambda p: (p / "cat ").mkdir()), "cat .*differs from 'cat'", "into one folder"),
    "bomb": ("", folder(lambda p: written(p / "cat/a.pgm", BOMB)), "cat/a.pgm: its pixels are too many", "smaller"),
    "32 bits": ("", folder(lambda p: DEEP.save(p / "cat/a.tif")), "cat/a.tif: .*32 bits", "8 bits a channel"),
    "float pixels": ("", folder(lambda p: FLOAT.save(p / "cat/a.tif")), "cat/a.tif: .* mode F", "8 bits a channel"),
    "float images": (
        "data.npz",
        npz(x_train=-np.ones((8, 4, 5, 3))),
        "is float64 .*values of -1 to -1",
        "scale images",
    ),
    "twin names": ("data.npz", npz(classes=["a", "a "]), "classes holds a name twice", "name of its own"),
    "empty csv": (CSV, lambda path: written(path / CSV, b""), "data.csv: it is empty", "line of column names"),
    "csv of names": (CSV, table("path,label"), "data.csv: it has no rows", "add some"),
    "no label column": (CSV, table("path,size,day", ["a", 1, 2]), "hold the labels.* 'path', 'size'", "'label'"),
    "no path column": (CSV, table("name,label", ["a", 1]), "hold the images.* 'name', 'label'", "'path'"),
    "missing files": (
        CSV,
        table("path,label", *[[f"no{row}.png", label] for row, label in enumerate(Y)]),
        r"8 images.*no0.png \(line 2 of data.csv\) \(.*no such file",
        "remove what names it",
    ),
    "NaN in csv": (CSV, table("path,label", ["cat/000.png", "nan"]), "line 2 of .*: it has no label", "row one"),
    "no label in csv": (
        CSV,
        table("path,label", ["cat/000.png", " "]),
        "line 2 of .*: it has no label, nor",
        "row one",
    ),
    "no path in csv": (CSV, table("path,label", ["", "cat"]), "line 2 has no path", "give it one"),
    "short line": (CSV, table("path,label", ["cat/000.png"]), "line 2 has 1 values", "one value a column"),
    "unknown split": (CSV, table("path,label,split", ["a", "b", "c"]), "line 2 .*its split is 'c'", "train, training"),
    "only test": (CSV, table("path,label,split", ["a", "b", "test"]), "no row is of the split train", "split some off"),
    "csv test label": (
        CSV,
        table("path,label,split", ["a", "b", "train"], ["d", "c", "test"]),
        "line 3 of .*: no training row has the label 'c'",
        "remove it",
    ),
    "two one-hot columns": (CSV, table("path,a,b", ["x", 1, 1]), "x is of the classes a and b", "one class each"),
    "pixels of no square": (CSV, table("label,pixels", ["a", "1 " * 17]), "line 2 has 17 pixels", "a square"),
    "large pixels": (CSV, table("label,pixels", ["a", "300 " * 16]), "line 2 holds pixels", r"0\.\.255"),
    "ids in two folders": (
        CSV,
        lambda path: (write_folder(path, X, Y), write_folder(path, X, 1 - Y), table("id,label", ["000", "a"])(path)),
        "'000' are in cat and dog",
        "write the folder before",
    ),
    "two labels": (CSV, table("path,label", ["a", "b"], ["a", "c"]), r"a \('b' and 'c'\)", "one label"),
    "regression": (CSV, table("path,label", ["a", "1.37"], ["b", "2.0"]), "regression", "whole numbers or strings"),
    "white on nothing": (
        "",
        lambda path: write_folder(path, np.full((8, 4, 5, 4), (255, 255, 255, 0), np.uint8), Y),
        "all images are equal",
        "background",
    ),
    "columns of boxes": (CSV, table("filename,class,xmin,ymin", ["a", "b", 1, 1]), "boxes", "one class each"),
    "COCO": ("", lambda path: write_folder(path, X, Y, ("train2017", "val2017")), "COCO", "one class each"),
    "COCO's annotations": (
        "",
        lambda path: write_folder(path, X, Y, ("annotations", "images")),
        "COCO",
        "one class each",
    ),
    "VOC": ("", lambda path: write_folder(path, X, Y, ("Annotations", "JPEGImages")), "Pascal VOC", "one class each"),
    "YOLO": ("", lambda path: write_folder(path / "train", X, Y, ("images", "labels")), "YOLO", "one class each"),
    "csv in no encoding": (CSV, lambda path: written(path / CSV, b"path,label\n\x81,1\n"), "cannot be read", "UTF-8"),
    "no parquet": ("a.parquet", lambda path: written(path / "a.parquet", b"text"), "a.parquet: .* read", "write it"),
    "cut parquet": (
        "data.parquet",
        lambda path: cut(write_parquet(path, image=PNGS, label=Y)),
        "data.parquet: .* read",
        "write it again",
    ),
    "parquet columns": (
        "data.parquet",
        lambda path: write_parquet(path, a=Y, b=Y),
        "hold the images; it has 'a', 'b'|'a', 'b'",
        "'path'",
    ),
    "NaN in parquet": (
        "data.parquet",
        parquet(label=[float("nan")] * 8),
        "row 0 of .*no label",
        "give each row one",
    ),
    "no image in parquet": ("data.parquet", parquet(image=[None, *PNGS[1:]]), "row 0 of .*empty", "replace"),
    "text in parquet": ("data.parquet", parquet(image=[b"x", *PNGS[1:]]), "row 0 of .*cannot be read", "replace"),
    "pixels in parquet": ("data.parquet", parquet(image=X.reshape(8, -1).tolist()), "type list", "encoded files"),
    "labels in parquet": (
        "data.parquet",
        parquet(label=[[1]] * 8),
        r"row 0 .*the list \[1\] \(multi",
        "one class each",
    ),
    "exploit": (
        "cifar-10-batches-py",
        cifar(lambda p: written(p / "data_batch_3", pickle.dumps(Exploit()))),
        "data_batch_3: .*wants posix.mkdir",
        "download it again",
    ),
    "cut cifar": ("cifar-10-batches-py", cifar(lambda p: cut(p / "data_batch_1")), "data_batch_1: .* read", "download"),
    "no cifar": ("nothing", lambda path: path.mkdir(), "no such folder", "download the data set first"),
    "part of cifar": (
        "cifar-10-batches-py",
        cifar(lambda p: (p / "data_batch_2").unlink()),
        "data_batch_2: .*No such file",
        "download the data set first",
    ),
}


def source_of(case: str, path: Path) -> str:
    return f"cifar10:{path}" if case.endswith(("cifar", "exploit")) else str(path)


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_names_the_culprit_and_the_fix_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    name, make, culprit, fix = REFUSALS[case]
    make(tmp_path / "source")
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(InvalidRequest) as caught:
        register(Request(source_of(case, tmp_path / "source" / name)), root)
    assert caught.value.field == "source"
    fault, _, advice = caught.value.message.rpartition("; ")
    assert re.search(culprit, fault)
    assert re.search(fix, advice)
    assert not list(root.iterdir())


def test_an_unknown_home_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no such file or folder"):
        register(Request("~nobody-of-that-name/x"), tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    folder(unreadable)(tmp_path / "source")
    with pytest.raises(InvalidRequest, match=r"cat/000\.png: it may not be read"):
        register(Request(str(tmp_path / "source")), tmp_path / "root")


def test_no_code_of_a_pickle_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cifar(lambda p: written(p / "data_batch_3", pickle.dumps(Exploit())))(tmp_path / "source")
    with pytest.raises(InvalidRequest):
        register(Request(f"cifar10:{tmp_path / 'source'}"), tmp_path / "root")
    assert not (tmp_path / "exploited").exists()


@pytest.mark.filterwarnings("ignore")  # Pillow's and numpy's, of damaged headers
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=st.sampled_from(sorted(FORMS)), data=st.data())
def test_damaged_files_are_read_or_refused(
    form: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged")
    source = FORMS[form](path / "source").source
    file = data.draw(st.sampled_from([p for p in sorted((path / "source").rglob("*")) if p.is_file()]))
    content = bytearray(file.read_bytes())
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)))):
        content[place] = value
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        dataset = register(Request(str(source)), path / "root")
    except InvalidRequest:
        assert not (path / "root").exists() or not list((path / "root").iterdir())
    else:
        assert [folder.name for folder in (path / "root").iterdir()] == [dataset.sha256]
