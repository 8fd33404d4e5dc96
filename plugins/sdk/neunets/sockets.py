"""Where unix sockets may stand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from neunets.errors import InvalidRequest

__all__ = ["check_home"]

# Of 107 that the kernel allows a socket's path, less room for what stands below the folder: /plugins/PID.sock.
MOST_BYTES: Final = 80


def check_home(home: Path) -> None:
    """Whether an engine's folder can hold its sockets. Raises: InvalidRequest."""
    length = len(os.fsencode(home.absolute()))
    if length > MOST_BYTES:
        text = f"{home} has {length} bytes, and the path of a unix socket is short: at most {MOST_BYTES} are possible"
        raise InvalidRequest("--home", text)
