"""Kept arrays that are lost or damaged are noticed, and registering the source again repairs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neunets.errors import IllegalTransition
from neunets_engine.datasets import Request, register
from neunets_engine.datasets.integrity import SUMS, Checked
from sources import labels, pixels, write_folder, write_npz


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "x_train.npy is missing": lambda folder: (folder / "x_train.npy").unlink(),
    "x_train.npy has 100 bytes": lambda folder: (folder / "x_train.npy").write_bytes(bytes(100)),
    "y_train.npy has another SHA-256": lambda folder: flip(folder / "y_train.npy"),
    "x_test.npy has another SHA-256": lambda folder: flip(folder / "x_test.npy"),
    "cannot be read": lambda folder: (folder / SUMS).write_text("{"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_registering_again_repairs_it(damage: str, tmp_path: Path) -> None:
    source = write_folder(tmp_path / "data", pixels(8, 4, 5), labels(8))
    dataset = register(Request(str(source)), tmp_path / "root")
    folder, checked = tmp_path / "root" / dataset.sha256, Checked(tmp_path / "root")
    checked.check(dataset)
    DAMAGES[damage](folder)
    with pytest.raises(IllegalTransition, match=rf"{damage}.*register {source} again"):
        checked.check(dataset)
    assert register(Request(str(source)), tmp_path / "root") == dataset
    checked.check(dataset)
    Checked(tmp_path / "root").check(dataset)
    assert list((tmp_path / "root").iterdir()) == [folder]


def test_data_of_before_sums_were_kept_go_on(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "data", pixels(8, 4, 5), labels(8))
    dataset = register(Request(str(source)), tmp_path / "root")
    folder = tmp_path / "root" / dataset.sha256
    (folder / SUMS).unlink()
    Checked(tmp_path / "root").check(dataset)
    with (folder / "x_train.npy").open("r+b") as stream:
        stream.truncate(150)
    with pytest.raises(IllegalTransition, match=r"x_train.npy has 150 bytes, not \d+"):
        Checked(tmp_path / "root").check(dataset)


def test_no_two_data_sets_have_one_digest(tmp_path: Path) -> None:
    x, y = pixels(9, 4, 5), labels(9, 3)
    found = set()
    for number, names in enumerate((["a\0b", "c", "d"], ["a", "b\0c", "d"], ["a", "b", "c\0d"])):
        file = write_npz(tmp_path / str(number), x_train=x, y_train=y, classes=np.array(names))
        found.add(register(Request(str(file)), tmp_path / "root").sha256)
    assert len(found) == 3
