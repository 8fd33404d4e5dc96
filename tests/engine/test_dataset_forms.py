"""Forms of data that have one reading: order of classes, names of splits, what is passed over, forms of labels."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neunets.errors import InvalidRequest
from neunets_engine.datasets import Request, register
from neunets_engine.datasets.columns import Chosen
from sources import labels, pixels, write_folder, write_npz, write_table

NUMBERS = tuple(map(str, range(12)))


def test_classes_have_one_natural_order_in_all_forms(tmp_path: Path) -> None:
    x, y = pixels(48, 4, 4), labels(48, 12)
    folder = write_folder(tmp_path / "folder", x, y, NUMBERS)
    rows: list[list[object]] = [[f"{label}/{row:03d}.png", f"{label}.0"] for row, label in enumerate(y)]
    table = write_table(folder, "data.csv", "path,label", rows)
    arrays = write_npz(tmp_path / "npz", x_train=x, y_train=y.astype(str))
    for number, source in enumerate((folder, table, arrays)):
        root = tmp_path / f"root{number}"
        root.mkdir()
        assert tuple(register(Request(str(source)), root).classes) == NUMBERS


@pytest.mark.parametrize("names", [("Training", "Testing"), ("TRAIN", "TEST"), ("train_set", "test-images")])
def test_splits_are_known_in_any_case_and_with_affixes(names: tuple[str, str], tmp_path: Path) -> None:
    for seed, name in enumerate(names):
        write_folder(tmp_path / "source" / name, pixels(8, 4, 5, seed=seed), labels(8))
    dataset = register(Request(str(tmp_path / "source")), _root(tmp_path))
    assert (tuple(dataset.classes), dataset.test_rows, dataset.test_held_out) == (("cat", "dog"), 8, False)


def test_files_and_folders_of_systems_are_passed_over(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", pixels(8, 4, 5), labels(8))
    for name in ("cat/._000.png", "__MACOSX/cat/000.png", "@eaDir/000.png", ".ipynb_checkpoints/000.png", "Thumbs.db"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"no image")
    dataset = register(Request(str(source)), _root(tmp_path))
    assert tuple(dataset.classes) == ("cat", "dog")
    assert dataset.train_rows + dataset.valid_rows + dataset.test_rows == 8


@pytest.mark.parametrize("form", [lambda y: y[:, None], lambda y: np.eye(2)[y], lambda y: y.astype(float)])
def test_labels_in_a_column_one_hot_or_float_are_read(form: object, tmp_path: Path) -> None:
    assert callable(form)
    source = write_npz(tmp_path / "source", x_train=pixels(8, 4, 5), y_train=form(labels(8)))
    dataset = register(Request(str(source)), _root(tmp_path))
    assert (tuple(dataset.classes), sum(dataset.class_rows)) == (("0", "1"), dataset.train_rows)


def test_float_arrays_of_two_axes_an_example_are_said_to_be_sequences(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "source", x_train=np.random.default_rng(0).random((8, 28, 20)), y_train=labels(8))
    dataset = register(Request(str(source)), _root(tmp_path))
    assert any("read as sequences of 28 steps and 20 channels" in warning for warning in dataset.warnings)


X = pixels(8, 9, 9, 3)
# Arrays that are all read as X, or as its first channel; and what is said of them.
ARRAYS: dict[str, tuple[np.ndarray[Any, Any], str]] = {
    "floats in 0..1": ((X / 255).astype(np.float32), "values of 0..1 are scaled to 0..255"),
    "floats in 0..255": (X.astype(np.float64), "values of 0..255 are kept"),
    "grey floats in 0..1": (X[..., 0] / 255, "values of 0..1 are scaled"),
    "grey floats in 0..255": (X[..., 0].astype(np.float32), "values of 0..255 are kept"),
    "int64": (X.astype(np.int64), "values of 0..255 are kept"),
    "grey int64": (X[..., 0].astype(np.int64), "values of 0..255 are kept"),
    "channels first": (np.moveaxis(X, -1, 1), "channels first are moved last"),
    "floats, channels first": (np.moveaxis(X / 255, -1, 1), "channels first are moved last, values of 0..1"),
    "opaque RGBA": (np.concatenate([X, np.full((8, 9, 9, 1), 255, np.uint8)], -1), r"\(alpha\) is left out"),
}


@pytest.mark.parametrize("form", ARRAYS)
def test_arrays_of_images_are_read_and_what_was_guessed_is_said(form: str, tmp_path: Path) -> None:
    array, said = ARRAYS[form]
    root = _root(tmp_path)
    dataset = register(Request(str(write_npz(tmp_path / "source", x_train=array, y_train=labels(8)))), root)
    kept = np.concatenate([np.load(root / dataset.sha256 / f"x_{part}.npy") for part in ("train", "test")])
    wanted = X if array.ndim == 4 else X[..., :1]
    assert sorted(map(bytes, kept)) == sorted(np.ascontiguousarray(image).tobytes() for image in wanted)
    assert any(re.search(f"read as images; .*{said}", warning) for warning in dataset.warnings)


@pytest.mark.parametrize(
    "names", [("X_train", "y_train"), ("x", "y"), ("arr_0", "arr_1"), ("train_images", "train_labels")]
)
def test_other_names_of_arrays_are_known_and_those_not_read_are_said(names: tuple[str, str], tmp_path: Path) -> None:
    arrays = dict(zip(names, (pixels(8, 4, 5), labels(8)), strict=True))
    source = write_npz(tmp_path / "source", **arrays, val_images=pixels(2, 4, 5), extra=labels(2))
    dataset = register(Request(str(source)), _root(tmp_path))
    assert tuple(dataset.classes) == ("0", "1")
    assert "arrays that are not read: extra, val_images" in dataset.warnings


# Each with the lines of a table of `cat/000.png` ... `dog/007.png`, whose encoding is the last.
TABLES: dict[str, tuple[str, Callable[[int, str, str], str], str, str]] = {
    "UTF-16": ("path,label", lambda n, file, label: f"{file},{label}", "utf-16", ""),
    "latin-1": ("path,label", lambda n, file, label: f"{file},{label}\xe9", "cp1252", "Windows-1252"),
    "backslashes": (
        "path,label",
        lambda n, file, label: f"{file.replace('/', chr(92))},{label}",
        "utf-8",
        "backslashes in paths",
    ),
    "no header": ("", lambda n, file, label: f"{label},{file}", "utf-8", "are read as label and path"),
    "spaces and case": (" Image ID , Label", lambda n, file, label: f"{file},{label}", "utf-8", ""),
    "one-hot": (
        "filename,cat,dog",
        lambda n, file, label: f"{file},{int(label == 'cat')},{int(label == 'dog')}",
        "utf-8",
        "2 columns of 0 and 1 are read as the classes: 'cat', 'dog'",
    ),
    "no suffix": ("image_id,breed", lambda n, file, label: f"{file[:-4]},{label}", "utf-8", "found as NAME.png"),
    "other label": ("file,kind", lambda n, file, label: f"{file},{label}", "utf-8", "'kind' is read as the labels"),
    "missing labels": (
        "file,label",
        lambda n, file, label: f"{file},{label if n % 4 else ''}",
        "utf-8",
        "2 rows without a label are passed over: line 2 of .*, line 6 of",
    ),
}


@pytest.mark.parametrize("form", TABLES)
def test_tables_of_one_reading_are_read_and_what_was_guessed_is_said(form: str, tmp_path: Path) -> None:
    header, line, encoding, said = TABLES[form]
    source = write_folder(tmp_path / "source", pixels(8, 4, 5), labels(8))
    names = [("cat", "dog")[label] for label in labels(8)]
    lines = [line(row, f"{name}/{row:03d}.png", name) for row, name in enumerate(names)]
    (source / "data.csv").write_text("\n".join([header, *lines] if header else lines), encoding=encoding)
    dataset = register(Request(str(source / "data.csv")), _root(tmp_path))
    assert [name.rstrip("\xe9") for name in dataset.classes] == ["cat", "dog"]
    assert dataset.train_rows + dataset.valid_rows + dataset.test_rows == (6 if form == "missing labels" else 8)
    assert any(re.search(said, warning) for warning in dataset.warnings) or not said


@pytest.mark.parametrize("chosen", [Chosen("photo", "kind"), Chosen("Photo ", "KIND")])
def test_columns_may_be_named_and_images_found_by_id_in_a_folder(chosen: Chosen, tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", pixels(8, 4, 5), labels(8) * 0, ("images",))
    rows: list[list[object]] = [[f"{row:03d}", "same", ("a", "b")[row % 2]] for row in range(8)]
    table = write_table(source, "data.csv", "photo,label,kind", rows)
    dataset = register(Request(str(table), columns=chosen), _root(tmp_path))
    assert tuple(dataset.classes) == ("a", "b")
    assert "images are found as images/NAME.png, by the names in the table" in dataset.warnings
    with pytest.raises(InvalidRequest, match="image_column: no column is named 'x'; there are 'photo'"):
        register(Request(str(table), columns=Chosen("x")), tmp_path)


@pytest.mark.parametrize(
    ("header", "values", "shape"),
    [
        ("label," + ",".join(f"pixel{n}" for n in range(16)), 16, (4, 4, 1)),
        (",".join(f"{1 + n // 5}x{1 + n % 5}" for n in range(25)) + ",class", 25, (5, 5, 1)),
        ("label," + ",".join(f"pixel{n:04d}" for n in range(48)), 48, (4, 4, 3)),
        ("emotion,pixels,Usage", 25, (5, 5, 1)),
        ("", 25, (5, 5, 1)),
    ],
)
def test_columns_of_pixels_are_images(header: str, values: int, shape: tuple[int, ...], tmp_path: Path) -> None:
    x = pixels(8, values)
    rows: list[list[object]] = [[label, *row] for label, row in zip(labels(8), x.tolist(), strict=True)]
    if header.endswith("class"):
        rows = [[*row[1:], row[0]] for row in rows]
    if header.endswith("Usage"):
        rows = [[row[0], " ".join(map(str, row[1:])), ("Training", "PublicTest")[n % 2]] for n, row in enumerate(rows)]
    source = write_table(tmp_path, "data.csv", header, rows) if header else tmp_path / "data.csv"
    if not header:
        source.write_text("\n".join(",".join(map(str, row)) for row in rows))
    root = _root(tmp_path)
    dataset = register(Request(str(source)), root)
    assert (tuple(dataset.input.shape), tuple(dataset.classes)) == (shape, ("0", "1"))
    kept = np.concatenate([np.load(root / dataset.sha256 / f"x_{part}.npy") for part in ("train", "test")])
    assert sorted(map(bytes, kept.reshape(8, -1))) == sorted(map(bytes, x))


@pytest.mark.parametrize(
    "names",
    [
        ("a", "a b", "b", "a b c"),
        ("cat|dog", "cat|fox", "dog|fox"),
        ("cat", "dog", "cat, dog"),
        ("['cat']", "['dog']", "['cat', 'dog']"),
        ("0", "1", "0 1", "1 2", "2"),
    ],
)
def test_labels_that_combine_classes_are_refused_by_name(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"combine several classes \(multi-label\); only images with one class"):
        register(Request(str(_labelled(tmp_path, names))), _root(tmp_path))


@pytest.mark.parametrize(
    "names",
    [
        ("hot dog", "corn dog", "dog"),
        ("New York", "York", "New Delhi", "Delhi"),
        ("red car", "blue car", "red van", "blue van"),
        ("maple", "red maple", "oak", "red oak"),
        ("Paris, France", "Lyon, France", "Rome, Italy"),
        ("1|a", "2|b"),
    ],
)
def test_names_of_several_words_are_classes(names: tuple[str, ...], tmp_path: Path) -> None:
    assert set(register(Request(str(_labelled(tmp_path, names))), _root(tmp_path)).classes) == set(names)


def test_arrays_of_several_labels_are_refused_by_name(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "source", x_train=pixels(8, 4, 5), y_train=np.array([[0, 1], [1, 1]] * 4))
    with pytest.raises(InvalidRequest, match=r"y_train\[1\] has 2 classes that are 1 \(multi-label\)"):
        register(Request(str(source)), _root(tmp_path))


BROKEN = {"cat/001.png": b"", "cat/003.png": b"<html>", "dog/021.png": b"cut"}


def test_all_unreadable_images_are_told_at_once_and_may_be_skipped(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", pixels(24, 4, 5), labels(24))
    for name, content in BROKEN.items():
        file = source / name
        file.write_bytes(file.read_bytes()[:60] if content == b"cut" else content)
    root = _root(tmp_path)
    with pytest.raises(InvalidRequest, match="3 images cannot be used") as told:
        register(Request(str(source)), root)
    assert all(name in str(told.value) for name in (*BROKEN, "or go on without with --skip-unreadable"))
    dataset = register(Request(str(source), skip_unreadable=True), root)
    assert dataset.train_rows + dataset.valid_rows + dataset.test_rows == 21
    (warning,) = dataset.warnings
    assert "3 images that cannot be read are left out" in warning
    assert all(name in warning for name in BROKEN)


def _labelled(tmp_path: Path, names: tuple[str, ...]) -> Path:
    """A table with four images of each of `names`."""
    rows = 4 * len(names)
    folder = write_folder(tmp_path / "source", pixels(rows, 4, 5), np.zeros(rows, np.int64), ("images",))
    lines: list[list[object]] = [[f"images/{row:03d}.png", names[row % len(names)]] for row in range(rows)]
    return write_table(folder, "data.csv", "path,label", lines)


@pytest.mark.parametrize("name", ["{}", "{}.jfif", "{}.JPE", "{}.0", "{}.image"])
def test_images_are_known_by_their_content_whatever_their_names(name: str, tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", pixels(8, 4, 5), labels(8))
    expected = register(Request(str(source)), _root(tmp_path)).sha256
    for file in sorted(source.rglob("*.png")):
        file.rename(file.with_name(name.format(file.stem)))
    (source / "cat" / "labels.db").write_bytes(b"BM, but no image")
    dataset = register(Request(str(source)), tmp_path / "root")
    assert dataset.sha256 == expected
    assert dataset.warnings[0].startswith("1 file passed over, no image of a class")


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"\0\0\0\x18ftypheic", "it is an image in HEIC, which is not read but by the package pillow-heif; convert"),
        (b"\0\0\0\x1cftypmif1", "it is an image in HEIC, which is not read but by the package pillow-heif; convert"),
        (
            b"\0\0\0\x20ftypavif",
            "it is an image in AVIF, which is not read but by the package pillow-avif-plugin; convert",
        ),
        (
            b"\0\0\0\x0cJXL \r\n\x87\n",
            "it is an image in JPEG XL, which is not read but by the package pillow-jxl-plugin; convert",
        ),
    ],
)
@pytest.mark.parametrize("name", ["odd.HEIC", "odd.jpg", "odd"])
def test_formats_that_are_not_read_are_refused_by_name(name: str, head: bytes, told: str, tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", pixels(8, 4, 5), labels(8))
    (source / "cat" / name).write_bytes(head + bytes(20))
    with pytest.raises(InvalidRequest, match=f"cat/{name}: {told}"):
        register(Request(str(source)), _root(tmp_path))
    (source / "dog" / name).write_bytes(head + bytes(20))
    with pytest.raises(InvalidRequest, match=r"2 images cannot be used: .* but by the package pillow-"):
        register(Request(str(source)), tmp_path / "root")


def _root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root
