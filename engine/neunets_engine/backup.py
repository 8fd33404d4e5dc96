"""`python -m neunets_engine.backup HOME COPY`: a copy of a home from which an engine can start."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import Final

from neunets.errors import InvalidRequest, NeunetsError, NotFound, NotReady
from neunets_engine.datasets.keep import SCRATCH
from neunets_engine.disk import keeping
from neunets_engine.store import check_files, copy_store

__all__ = ["back_up"]

PRIVATE: Final = 0o077
FILES: Final = ("artifacts", "datasets")  # Named by their content, so that they never change.
SMALL: Final = ("tls",)
UNFINISHED: Final = (f"{SCRATCH}*", "*.part")


def back_up(home: Path, copy: Path) -> None:
    """Copy everything that is kept in `home` into the new or empty folder `copy`; an engine may work on `home`.

    The files are copied before and after the store: whatever it refers to at its moment is among them. Sockets and
    logs are left out. Raises: NotFound, InvalidRequest, NotReady, Damaged, DiskFull.
    """
    if not (home / "store" / "data.mdb").exists():
        raise NotFound(f"{home} is no engine's folder: it has no store")
    if copy.exists() and (not copy.is_dir() or any(copy.iterdir())):
        raise InvalidRequest("COPY", f"{copy} is no empty folder: choose another one")
    if copy.resolve().is_relative_to(home.resolve()):
        raise InvalidRequest("COPY", f"{copy} lies in {home}: choose a folder elsewhere")
    os.umask(PRIVATE)
    try:
        with keeping(copy if copy.exists() else copy.parent):
            _copy_files(home, copy)
            copy_store(home / "store", copy / "store")
            _copy_files(home, copy)
    except OSError as error:
        raise NotReady(f"cannot copy {home} to {copy}: {error}") from error
    check_files(copy / "store", [])


def _copy_files(home: Path, copy: Path) -> None:
    for name in (*FILES, *SMALL):
        for source in sorted((home / name).rglob("*")):
            target = copy / source.relative_to(home)
            if source.is_file() and not target.exists() and not _is_unfinished(source.relative_to(home)):
                target.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # of a run that was deleted meanwhile
                    shutil.copyfile(source, target)  # with the mode that the umask gives


def _is_unfinished(path: Path) -> bool:
    return any(Path(part).match(pattern) for part in path.parts for pattern in UNFINISHED)


def main() -> int:
    """Exit codes: 0 copied; 2 refused."""
    parser = argparse.ArgumentParser(prog="neunets-backup", description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("copy", type=Path)
    arguments = parser.parse_args()
    try:
        back_up(arguments.home, arguments.copy)
    except NeunetsError as error:
        print(error.message, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
