"""A disk that is full to its last byte: what is refused, what is left, and that all goes on once there is room."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from system.faults import has_small_disks, on_small_disk


def on_a_full_disk(folder: Path, program: str) -> str:
    """What `program` prints; it has `home`, a disk of 8 MB, with `fill()` and `free()`."""
    if not has_small_disks(folder):
        pytest.skip("no file systems may be mounted here: `unshare --map-root-user --mount` is refused")
    begin = """
        import asyncio, os, sys
        from pathlib import Path
        from system.faults import SmallDisk
        home = Path(sys.argv[1])
        disk = SmallDisk(home)
    """
    text = textwrap.dedent(begin) + textwrap.dedent(program)
    command = on_small_disk(folder, "8m", [sys.executable, "-c", text, str(folder)])
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_an_artifact_that_does_not_fit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    program = """
        from neunets_engine.artifacts import Artifacts
        from neunets_engine.disk import DiskFull
        artifacts = Artifacts(str(home / "artifacts"))
        data = os.urandom(5 << 20)
        first = artifacts.put(b"kept", "")
        for attempt in range(3):
            try:
                artifacts.put(data + b"%d" % attempt, "")
                print("kept", attempt)
            except DiskFull as error:
                print(error.message)
        disk.fill()
        print(len([path for path in home.rglob("*") if path.is_file()]), artifacts.get(first.sha256))
        disk.free()
    """
    kept, *refusals, last = on_a_full_disk(tmp_path, program).splitlines()
    assert kept == "kept 0"
    assert len(refusals) == 2
    for refusal in refusals:
        assert str(tmp_path / "artifacts") in refusal
        assert "MB are free" in refusal
        assert "neunets resume" in refusal
    assert last == "3 b'kept'"  # two artifacts, and what fills the disk


def test_a_store_that_has_no_room_refuses_writes_and_then_takes_the_pause(tmp_path: Path) -> None:
    program = """
        from neunets_engine.disk import DiskFull
        from neunets_engine.store.environment import Environment
        store = Environment(home / "store")

        async def put(key, size):
            try:
                await store.write(lambda writer: writer.put("meta", key, bytes(size)))
                return "kept"
            except DiskFull as error:
                return error.message

        async def main():
            print(await put(b"before", 10))
            disk.fill()
            print(await put(b"large", 3 << 20))
            print(await put(b"pause", 1000))
            disk.free()
            print(await put(b"large", 3 << 20))
            disk.fill()
            print(await put(b"larger", 5 << 20))
            print(await put(b"pause again", 1000))
            with store.read() as reader:
                print([key.decode() for key, _ in reader.scan("meta", b"", b"~")])

        asyncio.run(main())
        store.close()
        with_reserve = Environment(home / "store")  # what was refused has left no trace
        with with_reserve.read() as reader:
            print(len(reader.get("meta", b"large")))
    """
    lines = on_a_full_disk(tmp_path, program).splitlines()
    assert [line == "kept" for line in lines[:6]] == [True, False, True, True, False, True]
    assert str(tmp_path / "store") in lines[1]
    assert lines[6:] == ["['before', 'large', 'pause', 'pause again']", str(3 << 20)]


def test_a_store_cannot_be_opened_on_a_full_disk(tmp_path: Path) -> None:
    program = """
        from neunets_engine.disk import DiskFull
        from neunets_engine.store import Store
        disk.fill()
        (home / "filler").open("ab").truncate(os.path.getsize(home / "filler") - 4096 * 4)
        try:
            asyncio.run(Store(home).take_epoch())
        except DiskFull as error:
            print(error.message)
    """
    assert str(tmp_path) in on_a_full_disk(tmp_path, program)
