"""Names that are no text, and folders that cannot be written to, are one sentence before anything is started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neunets.errors import InvalidRequest
from neunets_client.saving import check_folder
from neunets_client.source import source_of

STRANGE = os.fsdecode(b"caf\xe9")


def test_a_path_becomes_absolute_and_a_name_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert source_of("data", "DATA") == str(tmp_path / "data")
    assert source_of("digits", "DATA") == "digits"
    assert source_of("cifar10:~/data", "DATA") == "cifar10:~/data"


def test_a_name_that_is_no_text_is_refused_readably(tmp_path: Path) -> None:
    (tmp_path / STRANGE).mkdir()
    with pytest.raises(InvalidRequest, match=r"caf\\udce9 is no name in UTF-8: rename it") as caught:
        source_of(tmp_path / STRANGE, "DATA")
    caught.value.message.encode()
    with pytest.raises(InvalidRequest, match=r"--out: .*is no name in UTF-8"):
        check_folder(tmp_path / STRANGE, "--out")


def test_a_folder_that_cannot_be_written_to_is_found_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a user whom permissions do not bind."""
    with pytest.raises(InvalidRequest, match="--out: /proc/self cannot be written to"):
        check_folder(Path("/proc/self"), "--out")
    with pytest.raises(InvalidRequest, match=r"--out: /proc/self/none cannot be made a folder"):
        check_folder(Path("/proc/self/none"), "--out")
    monkeypatch.chdir("/proc/self")
    with pytest.raises(InvalidRequest, match=r"--out: /proc/.* cannot be written to"):
        check_folder(None, "--out")
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    with pytest.raises(InvalidRequest, match="--out: the current folder cannot be used"):
        check_folder(None, "--out")
