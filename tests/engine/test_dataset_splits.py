"""Splits that the data bring with them are used as they are; the others are drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neunets.service.v1 import service_pb2
from neunets_engine.datasets import Request, register
from sources import labels, pixels, write_folder, write_npz, write_table

X, X_VALID, X_TEST = pixels(12, 4, 5), pixels(4, 4, 5, seed=1), pixels(6, 4, 5, seed=2)
Y, Y_VALID, Y_TEST = labels(12), labels(4), labels(6)


def folders(train: str, valid: str, test: str = "", below: str = "") -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        for name, x, y in ((train, X, Y), (valid, X_VALID, Y_VALID), (test, X_TEST, Y_TEST)):
            if name:
                write_folder(path / name / below, x, y)
        return path

    return write


def table(path: Path) -> Path:
    lines: list[list[object]] = []
    for split, x, y in (("Validation", X_VALID, Y_VALID), ("train", X, Y), ("test", X_TEST, Y_TEST)):
        write_folder(path / split, x, y)
        lines += [[f"{split}/{('cat', 'dog')[label]}/{row:03d}.png", label, split] for row, label in enumerate(y)]
    return write_table(path, "data.csv", "path,label,split", lines)


def arrays(x: str, y: str, test: bool = False) -> Callable[[Path], Path]:
    more = {"x_test": X_TEST, "y_test": Y_TEST} if test else {}
    return lambda path: write_npz(path, x_train=X, y_train=Y, **{x: X_VALID, y: Y_VALID}, **more)


@pytest.mark.parametrize(
    ("make", "has_test"),
    [
        (folders("train", "val"), False),
        (folders("TRAIN", "validation_set", "test-images"), True),
        (folders("train", "Valid", "test", below="inner"), True),
        (table, True),
        (arrays("x_val", "y_val"), False),
        (arrays("val_images", "val_labels", test=True), True),
        (arrays("X_valid", "y_valid"), False),
    ],
)
def test_a_given_validation_set_is_used_as_it_is(make: Callable[[Path], Path], has_test: bool, tmp_path: Path) -> None:
    dataset = register(Request(str(make(tmp_path / "source")), seed=3), tmp_path / "root")
    (told,) = (warning for warning in dataset.warnings if "validation set is the given one, 4 examples" in warning)
    assert told
    x, is_valid = kept(dataset, tmp_path, "x_train"), kept(dataset, tmp_path, "split")
    np.testing.assert_array_equal(in_order(x[is_valid]), in_order(X_VALID[..., np.newaxis]))
    assert dataset.valid_rows == 4
    assert dataset.test_held_out is not has_test
    if has_test:
        assert (dataset.train_rows, dataset.test_rows) == (12, 6)
        np.testing.assert_array_equal(in_order(x[~is_valid]), in_order(X[..., np.newaxis]))
    else:
        assert dataset.train_rows + dataset.test_rows == 12


def test_a_class_needs_one_training_example_where_both_other_sets_are_given(tmp_path: Path) -> None:
    rows = [0, 1]
    source = write_npz(
        tmp_path, x_train=X[rows], y_train=[0, 1], x_val=X_VALID, y_val=Y_VALID, x_test=X_TEST, y_test=Y_TEST
    )
    assert list(register(Request(str(source)), tmp_path / "root").class_rows) == [1, 1]


def test_a_folder_within_a_folder_is_the_same_data(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", X, Y)
    write_folder(tmp_path / "b" / "inner" / "again", X, Y)
    write_folder(tmp_path / "c" / "again", X, Y)
    for label in ("cat", "dog"):  # as in Tiny ImageNet
        (tmp_path / "c" / label).mkdir()
        (tmp_path / "c" / "again" / label).rename(tmp_path / "c" / label / "images")
    (tmp_path / "c" / "again").rmdir()
    digests = {register(Request(str(tmp_path / name)), tmp_path / "root").sha256 for name in "abc"}
    assert len(digests) == 1


def test_a_test_folder_without_classes_is_left_aside_and_said(tmp_path: Path) -> None:
    write_folder(tmp_path / "source" / "train", X, Y)
    write_folder(tmp_path / "source" / "x", X_TEST, Y_TEST)
    (tmp_path / "source" / "x" / "cat").rename(tmp_path / "source" / "test")
    (tmp_path / "source" / "x" / "dog").rename(tmp_path / "dog")
    (tmp_path / "source" / "x").rmdir()
    dataset = register(Request(str(tmp_path / "source")), tmp_path / "root")
    assert dataset.test_held_out
    assert any("test is left aside" in warning for warning in dataset.warnings)


def kept(dataset: service_pb2.Dataset, path: Path, name: str) -> Any:
    return np.load(path / "root" / dataset.sha256 / f"{name}.npy")


def in_order(x: Any) -> Any:
    return x[np.lexsort(x.reshape(len(x), -1).T)]
