"""Folders as Hugging Face's hub has them: configurations, shards of splits, tables of labels beside the images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from neunets.errors import InvalidRequest
from neunets.service.v1 import service_pb2
from neunets_engine.datasets import Request, register
from sources import labels, pixels, png, write_folder, write_table

NAMES = ["cat", "dog"]


def shard(path: Path, rows: int = 12, seed: int = 0, label: int | None = None, column: str = "label") -> None:
    """`label`: of all rows, in place of 0 and 1."""
    x, y = pixels(rows, 4, 5, seed=seed), labels(rows)
    values = [int(one) for one in y] if label is None else [label] * rows
    features = {column: {"names": NAMES, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"image": [{"bytes": png(row), "path": None} for row in x], column: values})
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)


@pytest.mark.parametrize(
    ("train", "valid", "test"),
    [
        ("plain_text/train-{}.parquet", "plain_text/validation-{}.parquet", "plain_text/test-{}.parquet"),
        ("train/{}.parquet", "validation/{}.parquet", "test/{}.parquet"),
        ("default/train/{}.parquet", "default/validation/{}.parquet", "default/test/{}.parquet"),
    ],
)
def test_shards_hold_the_split_of_their_name_or_folder(train: str, valid: str, test: str, tmp_path: Path) -> None:
    for number, (name, rows) in enumerate([(train, 12), (train, 12), (valid, 4), (test, 6)]):
        shard(tmp_path / "hub" / name.format(f"0000{number}-of-00002"), rows, number)
    dataset = read(tmp_path)
    assert (dataset.train_rows, dataset.valid_rows, dataset.test_rows) == (24, 4, 6)
    assert (list(dataset.classes), dataset.test_held_out) == (NAMES, False)


def test_several_configurations_are_named(tmp_path: Path) -> None:
    for name in ("large", "small"):
        shard(tmp_path / "hub" / name / "train-00000-of-00001.parquet")
    with pytest.raises(InvalidRequest, match="several configurations of data: large, small; give the folder of one"):
        read(tmp_path)


@pytest.mark.parametrize(("label", "column"), [(-1, "label"), (0, "other")])
def test_a_test_split_without_labels_is_left_aside_and_said(label: int, column: str, tmp_path: Path) -> None:
    shard(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet")
    shard(tmp_path / "hub" / "data" / "test-00000-of-00001.parquet", 6, 1, label, column)
    dataset = read(tmp_path)
    assert (list(dataset.classes), dataset.test_held_out) == (NAMES, True)
    assert dataset.train_rows + dataset.valid_rows + dataset.test_rows == 12
    assert [warning for warning in dataset.warnings if "left aside" in warning and "test" in warning]


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
@pytest.mark.parametrize("splits", [("",), ("train", "validation", "test")])
def test_metadata_beside_the_images_holds_their_labels(name: str, splits: tuple[str, ...], tmp_path: Path) -> None:
    for seed, split in enumerate(splits):
        metadata(tmp_path / "hub" / split, name, seed)
    dataset = read(tmp_path)
    assert list(dataset.classes) == ["a", "b"]
    assert dataset.train_rows + dataset.valid_rows + dataset.test_rows == 12 * len(splits)
    if len(splits) > 1:
        assert (dataset.train_rows, dataset.valid_rows, dataset.test_rows) == (12, 12, 12)
        assert not dataset.test_held_out


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('{"file_name": "0.png", "objects": {"bbox": [[0, 0, 1, 1]]}}', "line 1 has an object as its 'objects'"),
        ('{"file_name": "0.png", "label": 0}\n{"file_name', "line 2 is no JSON"),
        ("[1, 2]", "line 1 is no object"),
    ],
)
def test_metadata_of_other_tasks_and_damaged_lines_are_refused(lines: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "metadata.jsonl").write_text(lines)
    with pytest.raises(InvalidRequest, match=told):
        read(tmp_path)


def metadata(folder: Path, name: str, seed: int) -> None:
    write_folder(folder / "images", pixels(12, 4, 5, seed=seed), labels(12))
    rows: list[list[Any]] = [
        [f"images/{NAMES[label]}/{row:03d}.png", "ab"[label]] for row, label in enumerate(labels(12))
    ]
    if name.endswith(".csv"):
        write_table(folder, name, "file_name,label", rows)
    else:
        lines = [json.dumps({"file_name": file, "label": label, "width": None}) for file, label in rows]
        (folder / name).write_text("\n".join(lines) + "\n")


def read(path: Path) -> service_pb2.Dataset:
    return register(Request(str(path / "hub")), path / "root")
