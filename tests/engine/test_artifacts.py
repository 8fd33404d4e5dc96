"""Bytes under their hash."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neunets.errors import InvalidRequest, NotFound
from neunets_engine.artifacts import Artifacts


def files(root: Path) -> list[str]:
    return [file.name for file in root.rglob("*") if file.is_file()]


@settings(max_examples=50)
@given(data=st.binary(max_size=2000), offset=st.integers(0, 2500))
def test_what_was_put_comes_back_from_any_offset(
    data: bytes, offset: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    artifacts = Artifacts(str(tmp_path_factory.mktemp("artifacts")))
    ref = artifacts.put(data, "text/plain")
    assert (ref.sha256, ref.size, ref.media_type) == (hashlib.sha256(data).hexdigest(), len(data), "text/plain")
    assert artifacts.get(ref.sha256) == data
    assert artifacts.get(ref.sha256, offset) == data[offset:]


def test_artifacts_outlive_the_process(tmp_path: Path) -> None:
    ref = Artifacts(str(tmp_path / "new")).put(b"weights", "")
    assert Artifacts(str(tmp_path / "new")).get(ref.sha256) == b"weights"


def test_the_same_bytes_are_kept_once(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path))
    first, again = artifacts.put(b"weights", ""), artifacts.put(b"weights", "")
    assert first == again
    assert files(tmp_path) == [first.sha256]


def test_the_same_bytes_may_be_put_at_the_same_time(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path))
    blocks = [b"%d" % number * 100_000 for number in range(40) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        refs = list(pool.map(lambda block: artifacts.put(block, ""), blocks))
    assert sorted(files(tmp_path)) == sorted({ref.sha256 for ref in refs})


@pytest.mark.parametrize("sha256", ["", "ab", "A" * 64, "../" * 21 + "a", "g" * 64, "0" * 65, "0" * 63 + "\n"])
def test_what_is_no_hash_is_refused(sha256: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="64 lower case hexadecimal digits"):
        Artifacts(str(tmp_path)).get(sha256)


def test_an_unknown_hash_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no artifact " + "0" * 64):
        Artifacts(str(tmp_path)).get("0" * 64)
