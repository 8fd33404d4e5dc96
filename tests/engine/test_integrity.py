"""Damage to what is kept is found and named: pages and records of the store, and artifacts."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import lmdb  # noqa: TID251
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neunets.errors import Damaged, NotFound
from neunets.service.v1 import service_pb2
from neunets_engine.artifacts import Artifacts
from neunets_engine.store import Store, check_files
from neunets_engine.store.environment import TABLES
from neunets_engine.store.integrity import seal, unseal

PAGE = 4096
METAS = 2 * PAGE


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A store of twenty runs, each with a record that fills pages of its own."""
    store = Store(tmp_path / "store")
    await store.take_epoch()
    for number in range(20):
        await store.create_run(service_pb2.Run(name=f"runs/r{number}", reason="because " * 1000), "")
    store.close()
    return tmp_path / "store"


def truncate_to(fraction: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(path.stat().st_size * fraction) // PAGE * PAGE)


def overwrite(data: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.write(data)

    return damage


@pytest.mark.parametrize("damage", [
    Path.unlink, truncate_to(0), truncate_to(0.3), truncate_to(0.7), overwrite(bytes(PAGE)), overwrite(bytes(METAS)),
    overwrite(b"not a store"),
], ids=["deleted", "emptied", "0.3 left", "0.7 left", "page zeroed", "both metas zeroed", "other file"])  # fmt: skip
async def test_a_damaged_store_is_refused(folder: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    (tmp_path / "artifacts" / "ab").mkdir(parents=True)
    check_files(folder, [tmp_path / "artifacts"])
    damage(folder / "data.mdb")
    with pytest.raises(Damaged, match="restore"):
        check_files(folder, [tmp_path / "artifacts"])


@pytest.mark.parametrize("seed", range(8))
async def test_flipped_bits_of_records_are_found(folder: Path, seed: int) -> None:
    draw = random.Random(seed)
    content = bytearray((folder / "data.mdb").read_bytes())
    name = f"runs/r{draw.randrange(20)}".encode()
    places = [at for at in range(len(content)) if content.startswith(name, at)]
    for at in places:  # pages that are free may have older copies
        content[at + draw.randrange(8, 4000)] ^= 1 << draw.randrange(8)
    (folder / "data.mdb").write_bytes(content)
    with pytest.raises(Damaged, match=r"table runs, record \d+ has changed"):
        check_files(folder, [])
    store = Store(folder)
    with pytest.raises(Damaged, match="table runs"):
        store.runs(100)
    store.close()


def test_a_new_store_needs_no_files(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    check_files(tmp_path / "store", [tmp_path / "artifacts", tmp_path / "datasets"])


async def test_records_of_the_first_schema_are_taken_over(folder: Path) -> None:
    with lmdb.open(str(folder), max_dbs=len(TABLES)) as environment:  # as version 1 wrote it
        txn = environment.begin(write=True)
        txn.put(b"schema_version", b"1", db=environment.open_db(b"meta", txn))
        for name in TABLES:
            table = environment.open_db(name.encode(), txn)
            if name != "meta":
                for key, value in list(txn.cursor(db=table)):
                    txn.put(key, value[4:], db=table)
        txn.commit()
    check_files(folder, [])
    store = Store(folder)
    assert await store.take_epoch() == 2
    assert len(store.runs(100)) == 20
    store.close()
    check_files(folder, [])


@given(key=st.binary(min_size=1), value=st.binary(), at=st.integers(0), bit=st.integers(0, 7))
def test_a_sealed_value_comes_back_and_no_flipped_bit_passes(key: bytes, value: bytes, at: int, bit: int) -> None:
    sealed = bytearray(seal(key, value))
    assert unseal(key, bytes(sealed), "runs") == value
    sealed[at % len(sealed)] ^= 1 << bit
    with pytest.raises(Damaged):
        unseal(key, bytes(sealed), "runs")


@pytest.mark.parametrize("damage", [b"", b"Weights", b"weight", b"weights and more"])
def test_a_damaged_artifact_is_refused_and_repaired_by_the_same_bytes(tmp_path: Path, damage: bytes) -> None:
    artifacts = Artifacts(str(tmp_path))
    ref = artifacts.put(b"weights", "application/octet-stream")
    (path,) = tmp_path.glob(f"*/{ref.sha256}")
    path.write_bytes(damage)
    for offset in (0, 3):
        with pytest.raises(Damaged, match=str(path)):
            artifacts.get(ref.sha256, offset)
    assert not artifacts.is_whole(ref.sha256)
    assert artifacts.put(b"weights", "application/octet-stream") == ref
    assert artifacts.get(ref.sha256, 3) == b"ghts"
    path.unlink()
    with pytest.raises(NotFound):
        artifacts.get(ref.sha256)
