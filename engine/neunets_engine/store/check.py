"""Reads a whole store and says what is wrong with it; a program of its own, since damaged pages may end its process.

Usage: check.py FOLDER. It prints one line where the store is damaged and exits with 1. It imports nothing of ours, so
that it starts quickly.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from typing import Any

import lmdb

PLAIN = b"meta"  # The table whose values have no checksum: `environment.py` has its reason.
SEALED_FROM = 2  # The first schema version with checksums.
CHECKSUM_BYTES = 4
MOST_TABLES = 64


def main(folder: Path) -> int:
    try:
        with lmdb.open(str(folder), readonly=True, lock=False, max_dbs=MOST_TABLES) as environment:
            problem = _problem(environment)
    except lmdb.Error as error:
        problem = str(error)
    if problem:
        print(problem)
    return 1 if problem else 0


def _problem(environment: Any) -> str:
    with environment.begin(buffers=True) as txn:
        names = [bytes(name) for name, _ in txn.cursor()]
        tables = {name: environment.open_db(name, txn, create=False) for name in names}
        version = txn.get(b"schema_version", db=tables[PLAIN]) if PLAIN in tables else None
        is_sealed = int(bytes(version or b"1")) >= SEALED_FROM
        for name, table in tables.items():
            count = 0
            for key, value in txn.cursor(db=table):
                count += 1
                checksum = zlib.crc32(value[CHECKSUM_BYTES:], zlib.crc32(key)).to_bytes(CHECKSUM_BYTES, "big")
                if is_sealed and name != PLAIN and checksum != value[:CHECKSUM_BYTES]:
                    return f"table {name.decode()}, record {count} has changed"
            if count != txn.stat(table)["entries"]:
                return f"table {name.decode()} has {count} of its {txn.stat(table)['entries']} records"
    return ""


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
