"""What `inspect` tells of data, and the contact sheet that it leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from PIL import Image

from neunets.errors import InvalidRequest, NotFound
from neunets.service.v1 import service_pb2
from neunets_client.cli.options import image_size_of
from neunets_client.client import Client
from sources import labels, pixels, write_folder

CLI: Final = (sys.executable, "-m", "neunets_client")


def inspect(home: Path, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [*CLI, "inspect", *map(str, words), "--server", f"unix:{home}/engine.sock"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def test_the_facts_are_those_of_the_data(client: Client, home: Path, images: Path, tmp_path: Path) -> None:
    done = inspect(home, images, "--json", "--out", tmp_path / "sheet.png")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["classes"].keys() == {"0", "1", "2", "3"}
    assert sum(facts["classes"].values()) == facts["train_rows"]
    assert facts["shape"] == [8, 8, 1]
    assert facts["imbalance"] == pytest.approx(1.0, abs=0.1)
    with Image.open(facts["sheet"]) as sheet:
        assert sheet.format == "PNG"


def test_people_read_tables_and_where_the_sheet_is(client: Client, home: Path, images: Path, tmp_path: Path) -> None:
    done = inspect(home, images, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "image-classification" in done.stdout
    assert done.stdout.splitlines()[-1] == f"contact sheet {tmp_path / 'neunets-inspect.png'}"


def test_names_of_classes_are_shown_as_they_are(client: Client, home: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 6, 6), np.uint8)
    np.savez(tmp_path / "odd.npz", x_train=x, y_train=np.arange(40) % 2, classes=np.array(["[/red]", "[bold]a"]))
    done = inspect(home, tmp_path / "odd.npz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "[/red]" in done.stdout
    assert "[bold]a" in done.stdout


def test_sequences_have_facts_and_no_sheet(client: Client, home: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32)
    np.savez(tmp_path / "waves.npz", x_train=x, y_train=np.arange(40) % 2)
    done = inspect(home, tmp_path / "waves.npz", "--json", "--out", tmp_path / "sheet.png")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["sheet"] is None
    assert "no contact sheet" in done.stderr
    assert not (tmp_path / "sheet.png").exists()


def test_a_sheet_that_cannot_be_written_is_refused(client: Client, home: Path, images: Path, tmp_path: Path) -> None:
    done = inspect(home, images, "--out", tmp_path)
    assert done.returncode == 2
    assert "--out" in done.stderr


def test_a_sheet_of_nothing_known_or_of_too_many_images_is_refused(
    client: Client, dataset: service_pb2.Dataset
) -> None:
    with pytest.raises(NotFound, match="datasets/none"):
        client.preview("datasets/none")
    with pytest.raises(InvalidRequest, match="images_a_class"):
        client.preview(dataset.name, 33)


def test_the_size_and_the_fit_are_taken_and_told(client: Client, home: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "images", pixels(8, 6, 9), labels(8))
    words = (tmp_path / "images", "--json", "--out", tmp_path / "sheet.png")
    done = inspect(home, *words, "--image-size", "4x5", "--image-fit", "crop")
    assert done.returncode == 0, done.stderr
    size = {"height": 4, "width": 5, "channels": 1}
    way = {"fit": "crop", "filter": "bilinear", "background": [255, 255, 255], "resized": 8}
    assert json.loads(done.stdout.splitlines()[-1])["preprocessing"] == size | way
    assert "8 images are resized to 5 x 4 and cropped" in done.stderr


def test_a_size_that_is_none_is_refused(client: Client, home: Path, images: Path) -> None:
    done = inspect(home, images, "--image-size", "4x")
    assert done.returncode == 2
    assert "--image-size: '4x': write 64, or 48x64" in done.stderr
    for text in ("0", "1025", "4x5x6", "4,5", "-3", "\u00b2", ""):
        with pytest.raises(InvalidRequest, match="48x64"):
            image_size_of(text)
