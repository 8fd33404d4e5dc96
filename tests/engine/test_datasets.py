"""Every form of data that is accepted, the split, and what is kept of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from neunets.errors import InvalidRequest
from neunets.service.v1 import service_pb2
from neunets_engine.datasets import Request, register
from neunets_engine.datasets.split import held_out
from sources import FORMS, labels, pixels, write_folder, write_npz

SEEDS = st.integers(0, 2**64 - 1)
# Of each class.
ROWS = st.lists(st.integers(2, 40), min_size=2, max_size=6)


def read(source: Path | str, root: Path, seed: int = 0, **fractions: float) -> service_pb2.Dataset:
    return register(Request(str(source), seed=seed, **fractions), root)


def kept(dataset: service_pb2.Dataset, root: Path) -> dict[str, NDArray[Any]]:
    return {file.stem: np.load(file) for file in (root / dataset.sha256).glob("*.npy")}


def in_some_order(x: NDArray[Any], y: NDArray[Any]) -> list[tuple[bytes, int]]:
    return sorted((row.tobytes(), int(label)) for row, label in zip(x, y, strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_a_data_set_is_kept_as_it_was_written(form: str, tmp_path: Path) -> None:
    made, root = FORMS[form](tmp_path / "source"), tmp_path / "root"
    dataset = read(made.source, root)
    arrays = kept(dataset, root)
    assert tuple(dataset.classes) == made.classes
    assert tuple(dataset.input.shape) == made.x.shape[1:]
    assert dataset.task == ("image-classification" if made.x.ndim == 4 else "sequence-classification")
    assert arrays["x_train"].dtype == arrays["x_test"].dtype == made.x.dtype
    if made.test is None:
        x = np.concatenate([arrays["x_train"], arrays["x_test"]])
        y = np.concatenate([arrays["y_train"], arrays["y_test"]])
        assert in_some_order(x, y) == in_some_order(made.x, made.y)
    else:
        for name, array in zip(("x_train", "y_train", "x_test", "y_test"), (made.x, made.y, *made.test), strict=True):
            np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("form", FORMS)
def test_a_data_set_says_whether_its_test_set_was_held_out(form: str, tmp_path: Path) -> None:
    made = FORMS[form](tmp_path / "source")
    assert read(made.source, tmp_path / "root").test_held_out == (made.test is None)


@pytest.mark.parametrize("form", FORMS)
def test_a_data_set_counts_what_is_kept(form: str, tmp_path: Path) -> None:
    dataset = read(FORMS[form](tmp_path / "source").source, tmp_path / "root")
    arrays = kept(dataset, tmp_path / "root")
    is_valid = arrays["split"]
    assert (dataset.train_rows, dataset.valid_rows) == ((~is_valid).sum(), is_valid.sum())
    assert dataset.test_rows == len(arrays["x_test"]) == len(arrays["y_test"])
    assert list(dataset.class_rows) == np.bincount(arrays["y_train"][~is_valid]).tolist()


def test_digits_are_built_in(tmp_path: Path) -> None:
    dataset = read("digits", tmp_path)
    assert (tuple(dataset.input.shape), tuple(dataset.classes)) == ((8, 8, 1), tuple("0123456789"))
    assert dataset.train_rows + dataset.valid_rows + dataset.test_rows == 1797
    assert kept(dataset, tmp_path)["x_train"].max() == 255


def test_the_input_is_normalised_by_the_training_rows_alone(tmp_path: Path) -> None:
    x = np.zeros((20, 3, 3, 2), np.uint8)
    x[..., 0] = pixels(20, 3, 3)
    dataset = read(write_npz(tmp_path, x_train=x, y_train=labels(20)), tmp_path / "root", valid_fraction=0.5)
    arrays = kept(dataset, tmp_path / "root")
    train = arrays["x_train"][~arrays["split"]]
    np.testing.assert_allclose(dataset.input.mean, train.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(dataset.input.std, [train[..., 0].std(), 1.0], rtol=1e-6)  # 1: of a constant channel


def test_files_that_are_no_images_are_told(tmp_path: Path) -> None:
    write_folder(tmp_path / "x", pixels(8, 4, 5), labels(8))
    (tmp_path / "x" / ".hidden").touch()
    assert not read(tmp_path / "x", tmp_path / "root").warnings
    (tmp_path / "x" / "cat" / "notes.txt").touch()
    (warning,) = read(tmp_path / "x", tmp_path / "root").warnings
    assert "1 file passed over, no image of a class" in warning
    assert "cat/notes.txt" in warning
    write_folder(tmp_path / "x" / "cat" / "more", pixels(2, 4, 5), labels(2))
    passed_over, deeper = read(tmp_path / "x", tmp_path / "root").warnings
    assert "1 file passed over" in passed_over
    assert "2 files in folders within that of a class" in deeper


def test_a_test_set_may_lack_a_class(tmp_path: Path) -> None:
    write_folder(tmp_path / "x" / "train", pixels(8, 4, 5), labels(8))
    write_folder(tmp_path / "x" / "test", pixels(3, 4, 5), labels(3, classes=1))
    assert read(tmp_path / "x", tmp_path / "root").test_rows == 3


def test_the_same_content_has_the_same_name(tmp_path: Path) -> None:
    x, y = pixels(30, 4, 5), labels(30)
    sources = [write_npz(tmp_path / "a", x_train=x, y_train=y), write_npz(tmp_path / "b", x_train=x, y_train=y)]
    first, again = (read(source, tmp_path / "root", seed=7) for source in sources)
    assert first.name == again.name == f"datasets/{first.sha256}"
    assert [folder.name for folder in (tmp_path / "root").iterdir()] == [first.sha256]


def test_other_seeds_names_or_values_have_other_names(tmp_path: Path) -> None:
    x, y = pixels(30, 4, 5), labels(30)
    names = {
        read(write_npz(tmp_path / "a", x_train=x, y_train=y), tmp_path / "root", seed=7).name,
        read(write_npz(tmp_path / "a", x_train=x, y_train=y), tmp_path / "root", seed=8).name,
        read(write_npz(tmp_path / "b", x_train=x, y_train=y, classes=["a", "b"]), tmp_path / "root", seed=7).name,
        read(write_npz(tmp_path / "c", x_train=255 - x, y_train=y), tmp_path / "root", seed=7).name,
    }
    assert len(names) == 4


def test_the_fractions_are_kept(tmp_path: Path) -> None:
    source = write_npz(tmp_path, x_train=pixels(100, 2, 2), y_train=labels(100))
    dataset = read(source, tmp_path / "root", valid_fraction=0.25, test_fraction=0.2)
    assert (dataset.train_rows, dataset.valid_rows, dataset.test_rows) == (60, 20, 20)


def test_each_part_has_each_class(tmp_path: Path) -> None:
    y = np.repeat(np.arange(3), (3, 4, 50))
    dataset = read(write_npz(tmp_path, x_train=pixels(57, 2, 2), y_train=y), tmp_path / "root")
    arrays = kept(dataset, tmp_path / "root")
    for part in (arrays["y_test"], arrays["y_train"][arrays["split"]], arrays["y_train"][~arrays["split"]]):
        assert set(part.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("field", ["valid_fraction", "test_fraction"])
@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_a_fraction_outside_0_to_1_is_refused(field: str, fraction: float, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="is not between 0 and 1") as caught:
        read("digits", tmp_path, **{field: fraction})
    assert caught.value.field == field


@given(rows=ROWS, fraction=st.floats(0.01, 0.99), seed=SEEDS)
def test_each_class_gives_its_share_and_keeps_a_row(rows: list[int], fraction: float, seed: int) -> None:
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(rows)), rows))
    aside = np.bincount(y[held_out(y, fraction, seed, 1)], minlength=len(rows))
    for count, share in zip(rows, aside, strict=True):
        assert 1 <= share < count
        assert abs(share - fraction * count) <= 1.0


@given(rows=ROWS, seed=SEEDS, other=SEEDS)
def test_a_split_depends_on_seed_and_sequence_alone(rows: list[int], seed: int, other: int) -> None:
    assume(seed != other)
    y = np.repeat(np.arange(4), 40)
    split = held_out(y, 0.5, seed, 1)
    held_out(np.repeat(np.arange(len(rows)), rows), 0.5, other, 1)
    np.testing.assert_array_equal(held_out(y, 0.5, seed, 1), split)
    assert (held_out(y, 0.5, other, 1) != split).any()
    assert (held_out(y, 0.5, seed, 2) != split).any()
