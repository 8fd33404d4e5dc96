"""Where servers may listen."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Final

from neunets.errors import InvalidRequest
from neunets.messages import CHANNEL_LIMITS

__all__ = ["SERVER_OPTIONS", "check_home", "is_open_to_others"]

# Of 107 that the kernel allows a socket's path, less room for what stands below the folder: /plugins/PID.sock.
MOST_BYTES: Final = 80

# Two servers on one port would each get a part of the connections; the second one is refused instead.
SERVER_OPTIONS: Final = (("grpc.so_reuseport", 0), *CHANNEL_LIMITS)


def check_home(home: Path) -> None:
    """Whether an engine's folder can hold its sockets. Raises: InvalidRequest."""
    length = len(os.fsencode(home.absolute()))
    if length > MOST_BYTES:
        text = f"{home} has {length} bytes, and the path of a unix socket is short: at most {MOST_BYTES} are possible"
        raise InvalidRequest("--home", text)


def is_open_to_others(address: str) -> bool:
    """Whether a gRPC address (HOST:PORT, unix:PATH) can be reached from another machine."""
    if address.startswith("unix:"):
        return False
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host != "localhost" and not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
