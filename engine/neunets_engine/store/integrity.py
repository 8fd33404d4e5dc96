"""Damage to the files of a store: found before the engine opens them, and in each record that is read."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from neunets.errors import Damaged

__all__ = ["check_files", "seal", "unseal"]

CHECK: Final = Path(__file__).with_name("check.py")
CHECKSUM_BYTES: Final = 4


def seal(key: bytes, value: bytes) -> bytes:
    """`value` behind its checksum (CRC-32 of key and value, 4 bytes, big-endian)."""
    return zlib.crc32(value, zlib.crc32(key)).to_bytes(CHECKSUM_BYTES, "big") + value


def unseal(key: bytes, sealed: bytes, table: str) -> bytes:
    """Raises: Damaged where key or value are others than those that were sealed."""
    value = sealed[CHECKSUM_BYTES:]
    if seal(key, value) != sealed:
        raise Damaged(f"the store's table {table} is damaged: restore the folder --home from a backup")
    return value


def check_files(folder: Path, beside: Iterable[Path]) -> None:
    """Read the whole store in a process of its own, which damaged pages may kill.

    `beside`: folders that hold data only once a store exists. Raises: Damaged.
    """
    data = folder / "data.mdb"
    if not data.exists() or not data.stat().st_size:
        kept = [path for path in beside if path.is_dir() and any(path.iterdir())]
        if kept:
            raise _damaged(folder, f"{data.name} is {'empty' if data.exists() else 'missing'}, but {kept[0]} is not")
        return
    # -I: what is in the current folder or in PYTHONPATH changes nothing.
    checked = subprocess.run([sys.executable, "-I", str(CHECK), str(folder)], capture_output=True, text=True)
    if checked.returncode < 0:
        raise _damaged(folder, f"reading it ended a process with signal {-checked.returncode}")
    if checked.returncode:
        raise _damaged(folder, (checked.stdout or checked.stderr).strip().rpartition("\n")[2])


def _damaged(folder: Path, reason: str) -> Damaged:
    fix = (
        f"restore {folder.parent} from a backup (`neunets backup` makes one), or move it away to begin without its runs"
    )
    return Damaged(f"the store in {folder} is damaged ({reason}): {fix}")
