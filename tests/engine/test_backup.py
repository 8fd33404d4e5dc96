"""A copy of a home, made while its store is open and written."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from neunets.service.v1 import service_pb2
from neunets_engine.artifacts import Artifacts
from neunets_engine.store import Store


def back_up(home: Path, copy: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "neunets_engine.backup", str(home), str(copy)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


async def test_a_backup_is_a_home_of_one_moment(tmp_path: Path) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy"
    store, artifacts = Store(home / "store"), Artifacts(str(home / "artifacts"))
    await store.create_run(service_pb2.Run(name="runs/r1"), "")
    ref = artifacts.put(b"weights", "application/octet-stream")
    (home / "artifacts" / "ab").mkdir()
    (home / "artifacts" / "ab" / "half.part").write_bytes(b"wei")
    made = back_up(home, copy)
    assert (made.returncode, made.stderr) == (0, "")
    await store.create_run(service_pb2.Run(name="runs/r2"), "")
    store.close()
    assert [path for path in [copy, *copy.rglob("*")] if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    assert not list(copy.rglob("*.part"))
    assert Artifacts(str(copy / "artifacts")).get(ref.sha256) == b"weights"
    copied = Store(copy / "store")
    assert [run.name for run in copied.runs(10)] == ["runs/r1"]
    copied.close()


@pytest.mark.parametrize(("home", "copy", "sentence"), [
    ("full", "new", "has no store"), ("home", "full", "is no empty folder"), ("home", "home/copy", "lies in"),
])  # fmt: skip
def test_a_backup_that_cannot_be_made_is_refused(tmp_path: Path, home: str, copy: str, sentence: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("")
    Store(tmp_path / "home" / "store").close()
    refused = back_up(tmp_path / home, tmp_path / copy)
    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
