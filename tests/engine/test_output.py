"""What a child prints neither fills the disk nor stops its reader."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neunets_engine.output import LINE_BYTES, LOG_BYTES, Log, Output

FLOOD = 1 << 20


async def printed(log: Path, *pieces: bytes) -> tuple[list[str], Output]:
    handed: list[str] = []
    output = Output(Log(log), handed.append)
    child = os.dup(output.descriptor)
    output.started()
    os.set_blocking(child, True)
    pid = os.posix_spawn(
        "/bin/cat", ["cat", *_files(log.parent, pieces)], {}, file_actions=[(os.POSIX_SPAWN_DUP2, child, 1)]
    )
    os.close(child)
    await output.close(30.0)
    assert os.waitpid(pid, 0)[1] == 0
    return handed, output


def _files(folder: Path, pieces: tuple[bytes, ...]) -> list[str]:
    files = []
    for number, piece in enumerate(pieces):
        files.append(str(folder / f"piece{number}"))
        Path(files[-1]).write_bytes(piece)
    return files


async def test_lines_are_handed_on_and_kept(tmp_path: Path) -> None:
    handed, output = await printed(tmp_path / "log", b"one\ntwo\nthr", b"ee")
    assert handed == ["one", "two", "three"]
    assert output.lines(2) == ("two", "three")
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\nthree"


async def test_a_line_has_a_bound_and_no_control_characters(tmp_path: Path) -> None:
    handed, _ = await printed(tmp_path / "log", b"x" * FLOOD, b"\n\x1b[2J\xff\0tail\n")
    assert [len(line) for line in handed] == [LINE_BYTES, 10]
    assert all(line.isprintable() for line in handed)


@pytest.mark.parametrize("line", [b"y" * 99 + b"\n", b"y" * 100])
async def test_a_flood_fills_two_bounded_files(tmp_path: Path, line: bytes) -> None:
    await printed(tmp_path / "log", *[line * (FLOOD // len(line))] * 10)
    sizes = [file.stat().st_size for file in tmp_path.glob("log*")]
    assert len(sizes) == 2
    assert max(sizes) < LOG_BYTES + FLOOD


async def test_a_full_disk_costs_the_log_alone(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("/dev/full")
    handed, _ = await printed(tmp_path / "log", b"one\n" + b"z" * FLOOD, b"\ntwo\n")
    assert (handed[0], handed[-1]) == ("one", "two")


async def test_a_pipe_that_a_stranger_holds_is_left(tmp_path: Path) -> None:
    output = Output(Log(tmp_path / "log"), lambda text: None)
    await output.close(0.1)
    output.started()
