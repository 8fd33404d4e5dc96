"""What was measured is read as it was written, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event, Thread

import pytest

from neunets.machine import Choices, MemoryFormat, Precision, fingerprint, only_one, read, write

CHOICES = Choices(
    Precision.BFLOAT16, MemoryFormat.CHANNELS_LAST, 64, 2, 1, {"float32 contiguous": 1.5}, {"64": 2.5}, {"2 x 1": 3.5}
)


def file_of(folder: Path) -> Path:
    return folder / f"{fingerprint('cpu')}.json"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "new", "cpu", CHOICES)
    assert read(tmp_path / "new", "cpu") == CHOICES


def test_what_was_not_measured_is_read_as_such(tmp_path: Path) -> None:
    write(tmp_path, "cpu", Choices())
    known = read(tmp_path, "cpu")
    assert known is not None
    assert not known.is_complete


def test_each_device_has_its_own_file(tmp_path: Path) -> None:
    write(tmp_path, "cpu", CHOICES)
    assert read(tmp_path, "Some Card") is None


def test_another_version_of_torch_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "cpu", CHOICES)
    monkeypatch.setattr("neunets.machine.version", lambda name: "0.4.1")
    assert read(tmp_path, "cpu") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"precision": "bfloat16", "step_s": {}}',
        '{"precision": "float12", "memory_format": "contiguous"}',
        '{"precision": "float32", "memory_format": ["contiguous"]}',
        '{"precision": "float32", "memory_format": "contiguous", "workers": 0}',
        '{"precision": "float32", "memory_format": "contiguous", "workers": "many"}',
        '{"precision": "float32", "memory_format": "contiguous", "batch_rates": 3}',
        '{"precision": "float32", "memory_format": "contiguous", "colour": "red"}',
    ],
)
def test_a_file_that_is_no_measurement_is_none(text: str, tmp_path: Path) -> None:
    file_of(tmp_path).write_text(text)
    assert read(tmp_path, "cpu") is None


def test_a_file_that_was_cut_off_is_none(tmp_path: Path) -> None:
    write(tmp_path, "cpu", CHOICES)
    file_of(tmp_path).write_bytes(file_of(tmp_path).read_bytes()[:-5])
    assert read(tmp_path, "cpu") is None


def test_bytes_that_are_no_text_are_none(tmp_path: Path) -> None:
    file_of(tmp_path).write_bytes(b"\xff\xfe\x00")
    assert read(tmp_path, "cpu") is None


def test_a_folder_that_takes_nothing_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "folder"
    with only_one(folder):
        write(folder, "cpu", CHOICES)
    assert read(folder, "cpu") is None


def test_nothing_but_the_measurement_is_left(tmp_path: Path) -> None:
    write(tmp_path, "cpu", CHOICES)
    assert list(tmp_path.iterdir()) == [file_of(tmp_path)]
    assert json.loads(file_of(tmp_path).read_text())["precision"] == "bfloat16"


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    began, order = Event(), []

    def second() -> None:
        began.set()
        with only_one(tmp_path):
            order.append("second")

    thread = Thread(target=second)
    with only_one(tmp_path):
        thread.start()
        began.wait()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
