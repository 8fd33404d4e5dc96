"""A copy of a store of one moment, also while an engine writes it."""

from __future__ import annotations

from pathlib import Path

import lmdb

from neunets.errors import Damaged

__all__ = ["copy_store"]


def copy_store(folder: Path, copy: Path) -> None:
    """Write what the store in `folder` holds now into the new folder `copy`. Raises: Damaged, OSError."""
    copy.mkdir(parents=True)
    try:
        with lmdb.open(str(folder), readonly=True, max_dbs=1) as environment, (copy / "data.mdb").open("xb") as file:
            environment.copyfd(file.fileno(), compact=True)
    except lmdb.Error as error:
        raise Damaged(f"the store in {folder} cannot be copied: {error}") from error
