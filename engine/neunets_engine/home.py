"""The folder that holds everything of one engine, readable for its owner alone."""

from __future__ import annotations

import errno
import logging
import os
import stat
from pathlib import Path
from typing import Final

from neunets.errors import InvalidRequest
from neunets.sockets import check_home
from neunets_engine.disk import keeping

__all__ = ["prepare"]

LOG: Final = logging.getLogger(__name__)
PRIVATE: Final = 0o700
OPEN_TO_OTHERS: Final = 0o077
FIELD: Final = "--home"
OWN: Final = "engine."  # Names of files that are there before the store is: lock, log, socket.


def prepare(home: Path) -> None:
    """Make the folder, or close one that is open to other users.

    What is created below it from here on is the owner's alone: the process's umask changes with this call.
    Raises: InvalidRequest where it is no folder, belongs to somebody else, cannot be written, or is an open folder
    that holds other things than an engine's; DiskFull.
    """
    check_home(home)
    os.umask(OPEN_TO_OTHERS)
    try:
        with keeping(home.parent):
            home.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
            found = home.stat()
    except OSError as error:
        raise _refusal(home, error) from error
    if found.st_uid != os.geteuid():
        raise InvalidRequest(FIELD, f"{home} belongs to another user: choose a folder of your own")
    if stat.S_IMODE(found.st_mode) & OPEN_TO_OTHERS:
        _close(home)
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK) or os.statvfs(home).f_flag & os.ST_RDONLY:
        raise InvalidRequest(FIELD, f"{home} cannot be written: choose another folder, or make it writable")


def _close(home: Path) -> None:
    """The folder may be one that others need, like /tmp, so only an engine's own or an empty one is closed."""
    if not (home / "store").exists() and any(not entry.name.startswith(OWN) for entry in home.iterdir()):
        text = f"{home} is open to other users and holds other files: choose an empty folder, or close it (chmod 700)"
        raise InvalidRequest(FIELD, text)
    LOG.warning("%s was open to other users: its mode is now 0700", home)
    try:
        home.chmod(PRIVATE)
    except OSError as error:
        raise _refusal(home, error) from error


def _refusal(home: Path, error: OSError) -> InvalidRequest:
    reasons = {errno.EEXIST: "it is no folder", errno.ENOTDIR: "a part of its path is no folder"}
    reason = reasons.get(error.errno or 0, (error.strerror or str(error)).lower())
    return InvalidRequest(FIELD, f"{home} cannot be the engine's folder: {reason}; choose another one")
