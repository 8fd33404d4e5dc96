"""The contact sheet: training images alone, every class in its row, of a size that can be sent."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neunets_engine.datasets.preview import contact_sheet

GRPC_BYTES = 4 << 20


def keep(folder: Path, x: np.ndarray, y: np.ndarray, is_valid: np.ndarray | None = None) -> Path:
    np.save(folder / "x_train.npy", x)
    np.save(folder / "y_train.npy", y)
    np.save(folder / "split.npy", np.zeros(len(y), bool) if is_valid is None else is_valid)
    return folder


def drawn(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_training_image_is_on_the_sheet_pixel_by_pixel_and_a_validation_image_is_not(tmp_path: Path) -> None:
    x = np.zeros((3, 8, 8, 3), np.uint8)
    x[0, ..., 0], x[1, ..., 1], x[2, ..., 2] = 255, 255, 255
    keep(tmp_path, x, np.array([0, 1, 1]), np.array([False, False, True]))
    sheet = drawn(contact_sheet(tmp_path, ["a", "b"], 4))
    red, green, blue = (np.argwhere((sheet == colour).all(axis=2)) for colour in np.eye(3, dtype=np.uint8) * 255)
    assert len(red) == len(green) == 48 * 48
    assert len(blue) == 0
    assert red[:, 0].max() < green[:, 0].min()


def test_the_same_data_give_the_same_sheet_and_another_seed_another(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (60, 6, 6, 1), np.uint8)
    keep(tmp_path, x, np.arange(60) % 2)
    assert contact_sheet(tmp_path, ["a", "b"], 5) == contact_sheet(tmp_path, ["a", "b"], 5)
    assert contact_sheet(tmp_path, ["a", "b"], 5) != contact_sheet(tmp_path, ["a", "b"], 5, seed=1)


@pytest.mark.parametrize(
    ("shape", "classes", "images"),
    [((200, 300, 3), 40, 8), ((64, 64, 3), 40, 32), ((1, 400, 1), 2, 8), ((3, 1, 2), 3, 1), ((32, 32, 4), 3, 32)],
)
def test_every_sheet_can_be_sent_and_seen(shape: tuple[int, ...], classes: int, images: int, tmp_path: Path) -> None:
    rows = classes * min(images, 8)
    x = np.random.default_rng(0).integers(0, 256, (rows, *shape), np.uint8)
    keep(tmp_path, x, np.arange(rows) % classes)
    png = contact_sheet(
        tmp_path, [f"class {number} of a very long name, {number}" for number in range(classes)], images
    )
    assert len(png) < GRPC_BYTES
    height, width, _ = drawn(png).shape
    assert 40 < height < 4500
    assert 40 < width < 2600
