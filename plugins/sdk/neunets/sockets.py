"""Where servers may listen, and how they are dialled."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Final

from neunets.errors import InvalidRequest
from neunets.messages import CHANNEL_LIMITS

__all__ = ["SERVER_OPTIONS", "Option", "channel_options", "check_home", "is_open_to_others"]


# Of 107 that the kernel allows a socket's path, less room for what stands below the folder: /plugins/PID.sock.
MOST_BYTES: Final = 80
# The schemes of a gRPC target; without one it is HOST:PORT.
UNIX: Final = ("unix:", "unix-abstract:")
NAMED: Final = ("dns:", "ipv4:", "ipv6:")

Option = tuple[str, str | int]

# Two servers on one port would each get a part of the connections; the second one is refused instead.
SERVER_OPTIONS: Final = (("grpc.so_reuseport", 0), *CHANNEL_LIMITS)


def check_home(home: Path) -> None:
    """Whether an engine's folder can hold its sockets. Raises: InvalidRequest."""
    length = len(os.fsencode(home.absolute()))
    if length > MOST_BYTES:
        text = f"{home} has {length} bytes, and the path of a unix socket is short: at most {MOST_BYTES} are possible"
        raise InvalidRequest("--home", text)


def channel_options(target: str, *others: Option) -> tuple[Option, ...]:
    """`others`, and what every channel to `target` needs, whichever of our processes opens it.

    Unless a name is given, the authority of a unix socket is its path, percent-encoded, and servers that parse it
    strictly (hyper, and so tonic; Kestrel) reset the stream. A proxy of the environment (`http_proxy`) is for other
    machines.
    """
    options = [*others]
    if target.startswith(UNIX):
        options.append(("grpc.default_authority", "localhost"))
    if not is_open_to_others(target):
        options.append(("grpc.enable_http_proxy", 0))
    return tuple(options)


def is_open_to_others(address: str) -> bool:
    """Whether a gRPC address (HOST:PORT, unix:PATH) can be reached from another machine."""
    if address.startswith(UNIX):
        return False
    if address.startswith(NAMED):
        address = address.partition(":")[2].removeprefix("///")
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host != "localhost" and not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
