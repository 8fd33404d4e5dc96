"""Data that cannot be used is refused by the name of the file or array, with what to do about it."""

from __future__ import annotations

import io
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
from neunets_engine.datasets import register
from sources import FORMS, labels, pixels, write_folder, write_idx, write_npz

X, Y = pixels(8, 4, 5), labels(8)
Make = Callable[[Path], object]


def folder(change: Callable[[Path], object]) -> Make:
    """A good folder of classes, and what is done to it."""
    return lambda path: change(write_folder(path, X, Y))


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


IMAGE_16 = Image.fromarray(np.zeros((4, 5), np.uint16))
NOT_ALIKE = Image.fromarray(pixels(5, 4))
# Source in the folder, how it is made, the culprit, the fix.
REFUSALS: dict[str, tuple[str, Make, str, str]] = {
    "missing path": ("", lambda path: None, "no such file or folder", "give a path"),
    "name too long": ("x" * 5000, lambda path: None, "no such file or folder", "give a path"),
    "unknown form": ("data.csv", lambda path: written(path / "data.csv", b"1,2"), "data.csv", "npz files can be read"),
    "empty folder": ("", lambda path: path.mkdir(), "none of the known forms", "one folder of images a class"),
    "empty train": (
        "",
        lambda path: (path / "train").mkdir(parents=True),
        "train: .* no class",
        "one folder of images",
    ),
    "one class": ("", lambda path: write_folder(path, X, 0 * Y), "1 class", "at least 2"),
    "two examples": ("", lambda path: write_folder(path, X[:4], Y[1:5]), "'dog' has 1", "at least 3 a class"),
    "sizes": ("", folder(lambda p: NOT_ALIKE.save(p / "dog/9.png")), "dog/9.png: 4 x 5", "resize all images"),
    "empty file": ("", folder(lambda p: written(p / "cat/a.png", b"")), "cat/a.png: .* empty", "replace or remove"),
    "no image": ("", folder(lambda p: written(p / "cat/a.png", b"text")), "cat/a.png: .* read", "replace or remove"),
    "cut image": ("", folder(lambda p: cut(p / "dog/007.png")), "dog/007.png: .* read", "replace or remove"),
    "broken header": ("", folder(lambda p: written(p / "cat/a.ppm", b"P6 5")), "cat/a.ppm: .* read", "replace"),
    "dangling link": ("", folder(lambda p: (p / "cat/a.png").symlink_to("b")), "cat/a.png: .* read", "replace"),
    "folder for an image": ("", folder(lambda p: (p / "cat/a.png").mkdir()), "cat/a.png: .* read", "replace"),
    "16 bits": ("", folder(lambda p: IMAGE_16.save(p / "cat/a.png")), "cat/a.png: .* mode I;16", "8 bits"),
    "empty class": ("", folder(lambda p: (p / "eel").mkdir()), "eel: .* no images", "remove the folder"),
    "test class": ("", folder_with_test(lambda p: (p / "test/eel").mkdir()), "test/eel: .* not in train", "add it"),
    "test size": ("", folder_with_test(lambda p: NOT_ALIKE.save(p / "test/cat/9.png")), "test/cat/9.png", "resize"),
    "npz without x": ("data.npz", lambda path: write_npz(path, y_train=Y), "no array x_train", "save it as x_train"),
    "npz of one class": ("data.npz", npz(y_train=0 * Y), "1 class", "at least 2 classes"),
    "NaN label": ("data.npz", npz(y_train=np.where(Y == 1, np.nan, 0.0)), r"y_train\[4\] is nan", "a label"),
    "fractions": ("data.npz", npz(y_train=Y / 2), "y_train holds fractions", "whole numbers or strings"),
    "labels by row": ("data.npz", npz(y_train=Y[:, None]), r"y_train has the shape \(8, 1\)", "one label an example"),
    "complex labels": ("data.npz", npz(y_train=1j * Y), "y_train is of type complex", "whole numbers or strings"),
    "lengths": ("data.npz", npz(x_train=X[1:]), r"x_train is \(7, 4, 5\), y_train is \(8,\)", "one label an example"),
    "number for x": ("data.npz", npz(x_train=np.uint8(1)), r"x_train is \(\)", "one label an example"),
    "no values": ("data.npz", npz(x_train=np.zeros((8, 0))), r"x_train is \(8, 0\)", "needs values"),
    "integers": ("data.npz", npz(x_train=X.astype(int)), r"x_train is int64 \(8, 4, 5\)", "images are uint8"),
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
    "zip as npz": ("data.npz", a_zip, "y_train has the shape", "one label an example"),
    "truncated idx": ("", idx(lambda p: cut(p / "train-images-idx3-ubyte")), "train-images.*72 bytes", "download"),
    "idx header": ("", idx(lambda p: written(p / "train-images-idx3-ubyte", b"ab")), "train-images.*read", "download"),
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
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_names_the_culprit_and_the_fix_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    name, make, culprit, fix = REFUSALS[case]
    make(tmp_path / "source")
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(InvalidRequest) as caught:
        register(str(tmp_path / "source" / name), valid_fraction=None, test_fraction=None, seed=0, root=root)
    assert caught.value.field == "source"
    fault, _, advice = caught.value.message.rpartition("; ")
    assert re.search(culprit, fault)
    assert re.search(fix, advice)
    assert not list(root.iterdir())


def test_an_unknown_home_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no such file or folder"):
        register("~nobody-of-that-name/x", valid_fraction=None, test_fraction=None, seed=0, root=tmp_path)


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
        dataset = register(str(source), valid_fraction=None, test_fraction=None, seed=0, root=path / "root")
    except InvalidRequest:
        assert not (path / "root").exists()
    else:
        assert [folder.name for folder in (path / "root").iterdir()] == [dataset.sha256]
